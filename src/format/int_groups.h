// Weights as integers of a few bits with a scale for each group along a row, as AWQ and
// compressed-tensors store them: weight = (code - zero) * scale, rounded to the scale's type. The
// plain basis, uniform levels: other engines' formats, which no kernel of ours reads. Pure
// functions; thread safe.
#pragma once

#include <cstdint>
#include <string>

#include "format/traits.h"

namespace tq {

// The type in which scales are stored, and so products are rounded.
enum class IntScale : uint8_t { kF16, kBf16 };

struct IntScheme {
  int bits = 4;           // 3, 4 or 8: codes are 0 .. 2^bits - 1
  bool symmetric = true;  // every zero point is 2^(bits - 1) and none is stored
  int group = 128;        // weights that share a scale; divides the row
  IntScale scale = IntScale::kBf16;

  int most() const { return (1 << bits) - 1; }    // the largest code
  int middle() const { return 1 << (bits - 1); }  // the zero point of symmetric codes
  // "int4-g128"; "uint4-g128" with zero points.
  std::string name() const;
  bool operator==(const IntScheme&) const = default;
};

// What a row of `in` weights becomes.
struct IntRow {
  uint8_t* codes;    // [in]
  uint16_t* scales;  // [in / group], in the scheme's type
  uint8_t* zeros;    // [in / group], also of symmetric schemes
};

// Encodes fp32 x [in], finite. Effort kReference is plain rounding between a group's smallest and
// largest weight, what llm-compressor's minmax observer and AutoAWQ without its search do:
// symmetric scale max|w| / ((2^bits - 1) / 2), else (max - min) / (2^bits - 1) with 0 in the range.
// The others search scales (and zero points) for the least error of each group, in which that of
// large weights counts more, and their squared error is never above that of plain rounding. Where a
// scale does not fit f16 it is infinite, and so is the error that is returned: measured with the
// weights as decode_int_row() gives them.
EncodeStats encode_int_row(const float* x, int64_t in, const IntScheme& scheme, Effort effort,
                           const IntRow& out);

// (code - zero) * scale rounded to the scale's type: what compressed-tensors' dequantize() gives,
// and GPU kernels that dequantise to 16 bits.
void decode_int_row(const IntScheme& scheme, const uint8_t* codes, const uint16_t* scales,
                    const uint8_t* zeros, int64_t in, float* out);

// Codes as a stream of bits in little-endian words, the first code lowest, without padding:
// compressed-tensors' weight_packed and, of the codes of a column, weight_zero_point. n * bits is a
// multiple of 8; at 3 bits n is one of 8.
void pack_codes(const uint8_t* codes, int64_t n, int bits, uint8_t* out);
void unpack_codes(const uint8_t* packed, int64_t n, int bits, uint8_t* codes);

// AWQ's word of eight 4-bit codes: nibble i, counted from the lowest, holds column kAwqOrder[i].
constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
uint32_t awq_word(const uint8_t* codes, int64_t stride);  // of codes[0], codes[stride], ...
inline uint8_t awq_code(uint32_t word, int column) {
  constexpr int kNibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // where a column's code lies
  return (word >> (4 * kNibble[column])) & 15;
}

}  // namespace tq
