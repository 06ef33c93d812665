#include "convert/class_formats.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "model/tensor_roles.h"

namespace tq {
namespace {

constexpr FormatClass kClasses[] = {
    {"experts", "experts", &ClassFormats::experts},
    {"mlp", "MLPs", &ClassFormats::mlp},
    {"attention", "attention", &ClassFormats::attention},
    {"output", "its output", &ClassFormats::output},
    {"recurrent", "DeltaNet", &ClassFormats::recurrent},
    {"keys_values", "keys and values", &ClassFormats::keys_values},
    {"head", "head", &ClassFormats::head},
    {"embed", "embeddings", &ClassFormats::embed},
};

// What linears become when nobody says, by the size of the model: the first row that holds. Keys
// and values are few where heads share them, and their errors cost most; where they are not few
// they are like the output.
struct AutoFormats {
  int64_t max_parameters;
  bool must_fit;  // a row after this one takes less memory
  ClassFormats formats;
};
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
// clang-format off
constexpr AutoFormats kAutoFormats[] = {
    //                      embed  head   k, v   output     attn        mlp         experts
    {400'000'000,   false, {"tq8", "tq8", "tq6", "tq6",     "tq6",      "tq6",      "tq6"}},
    {2'000'000'000, false, {"tq8", "tq8", "tq6", "tq6",     "tq5",      "tq5",      "tq5"}},
    {kMost,         true,  {"tq8", "tq8", "tq6", kFourBits, kFourBits,  kFourBits,  kFourBits}},
    {kMost,         false, {"tq8", "tq8", "tq6", kFourBits, kThreeBits, kThreeBits, kThreeBits}},
};
constexpr std::array kPresets{
    // Bits go where errors cost most: to what every token passes through. Routed experts are nine
    // tenths of the weights, each used by few tokens.
    Preset{"12gb", "mixtures of experts of 25 billion weights in 12 GB",
                           {"tq6", "tq6", "tq6", "tq5",     "tq5",      kFourBits,  kThreeBits}},
};
// clang-format on

int64_t count_parameters(const Checkpoint& source) {
  const TensorRoles roles(source.config());
  int64_t parameters = 0;
  for (const TensorEntry& tensor : source.tensors()) {
    if (&tensor == source.head_copy()) continue;
    if (roles.role(tensor.name, tensor.shape) == TensorRole::kTower) continue;
    parameters += tensor.n_elements();
  }
  return parameters;
}

bool is_linear(TensorRole role) {
  const FormatClass* found = format_class_of(role);
  return found != nullptr && in_layers(found->member);
}

}  // namespace

std::span<const FormatClass> format_classes() { return kClasses; }

const FormatClass& format_class(FormatMember member) {
  return *std::find_if(std::begin(kClasses), std::end(kClasses),
                       [member](const FormatClass& one) { return one.member == member; });
}

const FormatClass* find_format_class(std::string_view name) {
  const auto* found = std::find_if(std::begin(kClasses), std::end(kClasses),
                                   [name](const FormatClass& one) { return one.name == name; });
  return found == std::end(kClasses) ? nullptr : found;
}

const FormatClass* format_class_of(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kPerLayerTable:
      return &format_class(&ClassFormats::embed);
    case TensorRole::kHead:
      return &format_class(&ClassFormats::head);
    case TensorRole::kAttention:
    case TensorRole::kLatentExpansion:
      return &format_class(&ClassFormats::attention);
    case TensorRole::kKeysValues:
      return &format_class(&ClassFormats::keys_values);
    case TensorRole::kOutput:
      return &format_class(&ClassFormats::output);
    case TensorRole::kRecurrent:
      return &format_class(&ClassFormats::recurrent);
    case TensorRole::kMlp:
    case TensorRole::kPerLayerProjection:
      return &format_class(&ClassFormats::mlp);
    case TensorRole::kExperts:
      return &format_class(&ClassFormats::experts);
    case TensorRole::kRouter:
    case TensorRole::kNorm:
    case TensorRole::kBias:
    case TensorRole::kTower:
    case TensorRole::kRecurrence:
    case TensorRole::kOther:
      break;
  }
  return nullptr;
}

std::string_view FormatPlan::format(FormatMember member, int64_t layer) const {
  for (const LayerFormat& one : layers) {
    if (one.member == member && one.first <= layer && layer <= one.last) return one.format;
  }
  return classes.*member;
}

LinearWeights count_linears(const Checkpoint& source) {
  const TensorRoles roles(source.config());
  LinearWeights weights;
  for (const TensorEntry& tensor : source.tensors()) {
    const TensorRole role = roles.role(tensor.name, tensor.shape);
    if (!is_linear(role)) continue;
    weights.all += tensor.n_elements();
    if (role == TensorRole::kKeysValues) weights.keys_values += tensor.n_elements();
  }
  return weights;
}

std::string format_names() {
  std::string names;
  for (const FormatTraits& format : all_formats()) {
    if (!names.empty()) names += ' ';
    names += format.name;
  }
  return names;
}

const FormatTraits& need_format(std::string_view name) {
  const FormatTraits* format = find_format(name);
  if (format == nullptr) {
    fail(ErrorCode::kInvalidArgument, "unknown format \"{}\"; use one of: auto {}", name,
         format_names());
  }
  return *format;
}

const FormatTraits& at_least_8_bits(const FormatTraits& format) {
  return format.bits >= 8 ? format : need_format("tq8");
}

ClassFormats uniform_formats(const FormatTraits& format) {
  const std::string_view name = format.name;
  const std::string_view table = at_least_8_bits(format).name;
  return {table, table, name, name, name, name, name, name};
}

ClassFormats automatic_formats(const Checkpoint& source, const MemoryLimit& memory,
                               std::vector<std::string>& notes) {
  const int64_t parameters = count_parameters(source);
  const bool few = count_linears(source).few_keys_values();
  ClassFormats formats;
  std::string why = fmt::format("as the model has {:.3g} billion parameters",
                                static_cast<double>(parameters) * 1e-9);
  for (const AutoFormats& row : kAutoFormats) {
    if (parameters > row.max_parameters) continue;
    formats = row.formats;
    if (!few) formats.keys_values = formats.output;
    if (!row.must_fit || !memory.holds) break;
    if (memory.holds(formats)) {
      why += fmt::format(" and fits in {}", memory.name);
      break;
    }
    why += fmt::format(" and with {} would not fit in {}", formats.mlp, memory.name);
  }
  std::string attention;
  if (formats.attention != formats.mlp || formats.keys_values != formats.mlp) {
    attention = fmt::format(" (of attention {}, its keys and values {}, its output {})",
                            formats.attention, formats.keys_values, formats.output);
  }
  notes.push_back(fmt::format("format auto: {} for linears{}, {}; --format chooses one for all",
                              formats.mlp, attention, why));
  return formats;
}

std::span<const Preset> all_presets() { return kPresets; }

const Preset& find_preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return preset;
  }
  fail(ErrorCode::kInvalidArgument, "unknown preset \"{}\"; use one of: {}", name, preset_names());
}

std::string preset_names() {
  std::string names;
  for (const Preset& preset : kPresets) {
    if (!names.empty()) names += ", ";
    names += preset.name;
  }
  return names;
}

}  // namespace tq
