// What the rest of the program knows of a weight storage format: one FormatTraits row, expanded
// from the format's struct (see formats.h, THE LIST) and a WeightView, all that a matmul knows of
// its weight. Everything here is plain data, immutable, thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tq {

// Index into the list of formats (formats.h). Never stored on disk: files carry the name.
enum class FormatId : uint8_t {};

// The basis in which rows are stored, and so the form in which a matmul needs its activations.
enum class InputForm : uint8_t {
  kPlain,    // as the checkpoint has them
  kRotated,  // each group g of the input multiplied by D2*H*D1 (hadamard.h)
};

enum class Effort : uint8_t {
  kReference,  // norm correction; reproduces the reference library's bytes
  kFast,       // one pass, least-squares gain
  kDefault,    // scale search and least-squares gain
  kBest,       // a finer scale search with refits
};

struct EncodeOptions {
  Effort effort = Effort::kDefault;
  // Weight of the shrinkage correction: gain = least squares * (1 + beta * D). Ignored by
  // kReference.
  float beta = 0.5f;
};

// Squared error and squared norm of what was encoded: relMSE = error / norm. Plain sums in double,
// so that sums of parts taken in a fixed order do not depend on the thread count.
struct EncodeStats {
  double squared_error = 0;
  double squared_norm = 0;
  void add(const EncodeStats& other) {
    squared_error += other.squared_error;
    squared_norm += other.squared_norm;
  }
  double rel_mse() const { return squared_norm > 0 ? squared_error / squared_norm : 0; }
};

struct FormatTraits {
  FormatId id;
  std::string_view name;  // as on disk and on the command line: "tq3"
  InputForm input;        // that a matmul needs
  InputForm output;  // that a matmul with these rows gives: of all formats so far the plain one
  int bits;          // code bits per weight, scales not counted
  // The planes: codes, and with scales one f16 gain per (row, group).
  bool has_scales;
  // Rows that are encoded as one; a matrix has a multiple of them.
  int rows_together;
  // The group for rows of `in` weights; 0 without scales.
  int (*group_for)(int64_t in);
  // Bytes of one code row of in_padded weights (in_padded is a multiple of the group if there is
  // one).
  int64_t (*code_row_bytes)(int64_t in_padded);
  // Decodes one row to fp32 in the STORED basis: gain * the value of its code for rotated
  // formats (not rotated back). codes: code_row_bytes(in_padded); gains f16 [in_padded / group],
  // null without scales.
  void (*decode_row)(const uint8_t* codes, const uint16_t* gains, int64_t in_padded, int group,
                     float* out);
  // Encodes rows_together rows given in the PLAIN basis, fp32 [rows_together, in_padded] (padding
  // already zero), rotating as the format needs. gains: fp32 [rows_together, in_padded / group],
  // ignored without scales. Callers that write a matrix use RowEncoder (row_encoder.h).
  EncodeStats (*encode_rows)(const float* x, int64_t in_padded, int group,
                             const EncodeOptions& options, uint8_t* codes, float* gains);
};

// All formats in list order; a FormatId indexes it.
std::span<const FormatTraits> all_formats();
const FormatTraits& format_traits(FormatId id);
// Null when no format has that name.
const FormatTraits* find_format(std::string_view name);
int format_count();

// Of the formats with groups so far: 128 if it divides, else 64, else 32, else 128 with padding.
int default_group(int64_t in);

// A weight matrix, or a stack of `experts` of them, in any format. Does not own its planes.
struct WeightView {
  FormatId format{};
  int64_t rows = 0;                 // outputs of one matrix
  int64_t in = 0;                   // inputs, as the model means them
  int64_t in_padded = 0;            // inputs as stored; in for plain formats
  int64_t experts = 1;              // matrices, expert-major
  int group = 0;                    // weights a scale covers; 0 without scales
  const uint8_t* codes = nullptr;   // [experts * rows, code_row_bytes]
  const uint16_t* gains = nullptr;  // f16 [experts * rows, in_padded / group] or null

  const FormatTraits& traits() const { return format_traits(format); }
  int64_t code_row_bytes() const { return traits().code_row_bytes(in_padded); }
  int64_t gains_per_row() const { return group > 0 ? in_padded / group : 0; }
  int64_t size_bytes() const { return experts * rows * (code_row_bytes() + 2 * gains_per_row()); }
  const uint8_t* code_row(int64_t row) const { return codes + row * code_row_bytes(); }
  const uint16_t* gain_row(int64_t row) const {
    return gains == nullptr ? nullptr : gains + row * gains_per_row();
  }
  // n rows from `first` (of experts * rows) as one matrix; planes that are null stay so.
  WeightView slice(int64_t first, int64_t n) const {
    WeightView view = *this;
    view.experts = 1;
    view.rows = n;
    view.codes = codes == nullptr ? nullptr : code_row(first);
    view.gains = gain_row(first);
    return view;
  }
  // Matrix e of the stack.
  WeightView expert(int64_t e) const { return slice(e * rows, rows); }
};

// A weight of this size in a format, without planes.
WeightView weight_shape(const FormatTraits& format, int64_t rows, int64_t in, int64_t experts = 1);

// Row `row` (0 .. experts * rows - 1) to fp32 [in] in the PLAIN basis. scratch: fp32 [in_padded].
void decode_row_plain(const WeightView& weight, int64_t row, float* out, float* scratch);

}  // namespace tq
