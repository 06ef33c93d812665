// ConvertPlan: what every tensor of a source becomes, decided before a byte is written: its class
// by name and shape, its storage format by rules, the exact planes it will occupy. Plain data;
// making it is deterministic and touches no tensor data.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/class_formats.h"
#include "convert/rules.h"
#include "convert/tensor_class.h"
#include "format/int_groups.h"
#include "format/traits.h"
#include "io/checkpoint.h"
#include "io/safetensors/safetensors_layout.h"

namespace tq {

// Bytes of a plane whose shape was checked when it was planned.
int64_t plane_bytes(const SafetensorsItem& plane);
struct PlannedTensor;
struct ConvertPlan;
// Of all planes.
int64_t stored_bytes(const PlannedTensor& tensor);
int64_t stored_bytes(const ConvertPlan& plan);

struct Layout;  // convert/layouts/layout.h
extern const Layout kNativeLayout;
struct IntExport;  // convert/layouts/int_export.h

// How layouts of integers (awq, compressed-tensors) store linears. Nothing: the layout's default.
struct IntOptions {
  std::optional<int> bits;
  std::optional<bool> symmetric;
  std::optional<int> group;  // else the largest of 128, 64 and 32 that divides
  int tensor_parallel = 1;   // GPUs that will share the model: each has whole groups

  bool asked() const { return bits || symmetric || group || tensor_parallel != 1; }
};

struct PlanOptions {
  std::string format = "auto";        // of linears: a format name, or auto
  std::string preset;                 // instead of a format; empty: none
  std::optional<FormatPlan> formats;  // instead of both: fit.h and plan files choose them
  // For auto: whether what a plan makes fits where the model shall run, and what that is called
  // ("the 24.0 GB of this machine's GPU"). Without it everything does.
  std::function<bool(const ConvertPlan&)> fits;
  std::string fits_in;
  const Layout* layout = &kNativeLayout;
  std::vector<Rule> rules;  // before the default rules; native layout only
  IntOptions ints;          // layouts of integers only
};

enum class TensorAction : uint8_t {
  kCopy,        // the source's bytes, unchanged
  kCopyPlanes,  // codes and gains of a source that already has the format, unchanged
  kEncode,      // fp32 rows through RowEncoder
  kIntegers,    // fp32 rows through encode_int_row()
};

constexpr bool is_encoded(TensorAction action) {
  return action == TensorAction::kEncode || action == TensorAction::kIntegers;
}

// The order in which integers lie in their planes.
enum class IntOrder : uint8_t {
  kRows,  // compressed-tensors: codes along a row, zero points along a column
  kAwq,   // columns and rows exchanged, eight outputs in a word
};

// A tensor of the result: one of the source, or some rows of it.
struct PlannedTensor {
  int64_t source = 0;     // index into Checkpoint::tensors()
  std::string name;       // as a model means it: without what the planes add
  int64_t row_begin = 0;  // of the source's rows
  int64_t n_rows = 0;
  TensorRole role = TensorRole::kOther;
  TensorAction action = TensorAction::kCopy;
  std::string format;                    // for reports: "tq3", "bf16", "i64"
  const FormatTraits* traits = nullptr;  // null for kCopy
  int group = 0;                         // weights a gain covers; 0 without gains
  int64_t in_padded = 0;
  IntScheme ints;  // of kIntegers
  IntOrder int_order = IntOrder::kRows;
  std::vector<SafetensorsItem> planes;  // one, or codes and gains; what a layout of integers has

  bool compressed() const { return group > 0; }
  TensorClass tensor_class() const { return class_of(role); }
};

struct ConvertPlan {
  const Layout* layout = nullptr;
  // Of linears, after "auto" was decided; or the name of the preset; or "mixed" for
  // PlanOptions::formats.
  std::string format;
  FormatPlan formats;                     // after all was decided; rules come before
  std::vector<PlannedTensor> tensors;     // all but a copy of the embedding table (head_copy())
  std::vector<std::string> notes;         // what the user should know: choices made, rules unused
  std::shared_ptr<const IntExport> ints;  // of layouts of integers
};

// Of the tensors of a plan.
struct PlanCounts {
  std::vector<int64_t> rule_uses;  // of each of PlanOptions::rules
  int64_t ineligible = 0;          // that a rule would compress but no format can
  int64_t dequantised = 0;         // blocks of other codecs that are stored as f16
};

// What of the source's stored bytes becomes this tensor: all, or the share of its rows.
int64_t source_bytes(const PlannedTensor& tensor, const TensorEntry& entry);

// Throws kInvalidArgument for unknown formats and rules that cannot be followed, kUnsupported for
// sources that this converter would get wrong (scaled 8-bit floats, tensor name clashes).
ConvertPlan make_plan(const Checkpoint& source, const PlanOptions& options);

}  // namespace tq
