// ConvertPlan: what every tensor of a source becomes, decided before a byte is written: its class
// by name and shape, its storage format by rules, the exact planes it will occupy. Plain data;
// making it is deterministic and touches no tensor data.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/class_formats.h"
#include "convert/rules.h"
#include "convert/tensor_class.h"
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
};

enum class TensorAction : uint8_t {
  kCopy,        // the source's bytes, unchanged
  kCopyPlanes,  // codes and gains of a source that already has the format, unchanged
  kEncode,      // fp32 rows through RowEncoder
};

struct PlannedTensor {
  int64_t source = 0;  // index into Checkpoint::tensors()
  TensorRole role = TensorRole::kOther;
  TensorAction action = TensorAction::kCopy;
  std::string format;                    // for reports: "tq3", "bf16", "i64"
  const FormatTraits* traits = nullptr;  // null for kCopy
  int group = 0;                         // weights a gain covers; 0 without gains
  int64_t in_padded = 0;
  std::vector<SafetensorsItem> planes;  // one, or codes and gains

  bool compressed() const { return group > 0; }
  TensorClass tensor_class() const { return class_of(role); }
};

struct ConvertPlan {
  const Layout* layout = nullptr;
  // Of linears, after "auto" was decided; or the name of the preset; or "mixed" for
  // PlanOptions::formats.
  std::string format;
  FormatPlan formats;                  // after all was decided; rules come before
  std::vector<PlannedTensor> tensors;  // all but a copy of the embedding table (head_copy())
  std::vector<std::string> notes;      // what the user should know: choices made, rules unused
};

// Of the tensors of a plan.
struct PlanCounts {
  std::vector<int64_t> rule_uses;  // of each of PlanOptions::rules
  int64_t ineligible = 0;          // that a rule would compress but no format can
  int64_t dequantised = 0;         // blocks of other codecs that are stored as f16
};

// Throws kInvalidArgument for unknown formats and rules that cannot be followed, kUnsupported for
// sources that this converter would get wrong (scaled 8-bit floats, tensor name clashes).
ConvertPlan make_plan(const Checkpoint& source, const PlanOptions& options);

}  // namespace tq
