#include "convert/class_formats.h"

#include <array>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "model/tensor_roles.h"

namespace tq {
namespace {

// What linears become when nobody says, by the size of the model. Keys and values are few where
// heads share them, and their errors cost most.
struct AutoFormats {
  int64_t max_parameters;
  ClassFormats formats;
};
// clang-format off
constexpr AutoFormats kAutoFormats[] = {
    //                                 embed  head   k, v   output attn   mlp    experts
    {400'000'000,                     {"tq8", "tq8", "tq6", "tq6", "tq6", "tq6", "tq6"}},
    {2'000'000'000,                   {"tq8", "tq8", "tq6", "tq6", "tq5", "tq5", "tq5"}},
    {std::numeric_limits<int64_t>::max(),
                                      {"tq8", "tq8", "tq4", "tq4", "tq4", "tq3", "tq3"}},
};
constexpr std::array kPresets{
    // Bits go where errors cost most: to what every token passes through. Routed experts are nine
    // tenths of the weights, each used by few tokens.
    Preset{"12gb", "mixtures of experts of 25 billion weights in 12 GB",
                                      {"tq6", "tq6", "tq5", "tq5", "tq5", "tq4", "tq3"}},
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

}  // namespace

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
  return {table, table, name, name, name, name, name};
}

ClassFormats automatic_formats(const Checkpoint& source, std::vector<std::string>& notes) {
  const int64_t parameters = count_parameters(source);
  const auto* row = std::begin(kAutoFormats);
  while (parameters > row->max_parameters) ++row;
  const ClassFormats& formats = row->formats;
  std::string attention;
  if (formats.attention != formats.mlp || formats.keys_values != formats.mlp) {
    attention = fmt::format(" (of attention {}, its keys and values {}, its output {})",
                            formats.attention, formats.keys_values, formats.output);
  }
  notes.push_back(
      fmt::format("format auto: {} for linears{}, as the model has {:.3g} billion parameters; "
                  "--format chooses one for all",
                  formats.mlp, attention, static_cast<double>(parameters) * 1e-9));
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
