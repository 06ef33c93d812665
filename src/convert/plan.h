// ConvertPlan: what every tensor of a source becomes, decided before a byte is written: its class
// by name and shape, its storage format by rules, the exact planes it will occupy. Plain data;
// making it is deterministic and touches no tensor data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/rules.h"
#include "format/traits.h"
#include "io/checkpoint.h"
#include "io/safetensors_layout.h"

namespace tq {

// Bytes of a plane whose shape was checked when it was planned.
int64_t plane_bytes(const SafetensorsItem& plane);

// The role of a tensor in a transformer, in the order of reports.
enum class TensorClass : uint8_t {
  kEmbed,
  kHead,
  kAttention,
  kMlp,
  kExperts,
  kRouter,
  kNorm,
  kBias,
  kVision,  // vision and audio towers with their projectors
  kOther,
};
constexpr int kTensorClasses = 10;
std::string_view tensor_class_name(TensorClass tensor_class);
TensorClass classify_tensor(std::string_view name, const Shape& shape);

// The files that are written.
enum class Layout : uint8_t {
  kNative,     // ours: docs/formats.md
  kReference,  // turboquant-vllm tq3_native: every packed tensor alike, the rest f16
};

// A format for each class of tensors, with attention in three parts: names of formats.
struct ClassFormats {
  std::string_view embed;
  std::string_view head;
  std::string_view keys_values;  // k_proj, v_proj, latent attention's kv_a_proj
  std::string_view output;       // o_proj
  std::string_view attention;    // the rest of it
  std::string_view mlp;
  std::string_view experts;
  bool operator==(const ClassFormats&) const = default;
};

struct PlanOptions {
  std::string format = "auto";  // of linears: a format name, or auto by the number of parameters
  std::string preset;           // presets.h, instead of a format; empty: none
  std::optional<ClassFormats> formats;  // instead of both: fit.h chooses them
  Layout layout = Layout::kNative;
  std::vector<Rule> rules;  // before the default rules; native layout only
};

enum class TensorAction : uint8_t {
  kCopy,        // the source's bytes, unchanged
  kCopyPlanes,  // codes and gains of a source that already has the format, unchanged
  kEncode,      // fp32 rows through FormatTraits::encode_row
};

struct PlannedTensor {
  int64_t source = 0;  // index into Checkpoint::tensors()
  TensorClass tensor_class = TensorClass::kOther;
  TensorAction action = TensorAction::kCopy;
  std::string format;                    // for reports: "tq3", "bf16", "i64"
  const FormatTraits* traits = nullptr;  // null for kCopy
  int group = 0;                         // weights a gain covers; 0 without gains
  int64_t in_padded = 0;
  std::vector<SafetensorsItem> planes;  // one, or codes and gains

  bool compressed() const { return group > 0; }
};

struct ConvertPlan {
  Layout layout = Layout::kNative;
  // Of linears, after "auto" was decided; or the name of the preset; or "mixed" for
  // PlanOptions::formats.
  std::string format;
  std::vector<PlannedTensor> tensors;  // all but a copy of the embedding table (head_copy())
  std::vector<std::string> notes;      // what the user should know: choices made, rules unused
};

// Throws kInvalidArgument for unknown formats and rules that cannot be followed, kUnsupported for
// sources that this converter would get wrong (scaled 8-bit floats, tensor name clashes).
ConvertPlan make_plan(const Checkpoint& source, const PlanOptions& options);

}  // namespace tq
