// Which storage format each class of tensors gets: named choices, and what is chosen when nobody
// says. Plain data.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"

namespace tq {

// Names of formats; attention is in three parts.
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

// "tq2 tq3 ... f16": for messages that must say what would be accepted.
std::string format_names();
// Throws kInvalidArgument, with all names, for a format that does not exist.
const FormatTraits& need_format(std::string_view name);
// The format, or tq8 where it has fewer bits.
const FormatTraits& at_least_8_bits(const FormatTraits& format);

// One format for all linears; head and embeddings at 8 bits or more.
ClassFormats uniform_formats(const FormatTraits& format);

// By the number of parameters: docs/convert.md has the measurements. Adds a note that says which.
ClassFormats automatic_formats(const Checkpoint& source, std::vector<std::string>& notes);

// Named choices: THE LIST is in class_formats.cpp. Tensors that need eight bits or stay as they are
// do so in every preset.
struct Preset {
  std::string_view name;
  std::string_view purpose;  // for help texts
  ClassFormats formats;
};
std::span<const Preset> all_presets();
// Throws kInvalidArgument, with all names, for one that is not on the list.
const Preset& find_preset(std::string_view name);
// "12gb, ...": for help texts and messages.
std::string preset_names();

}  // namespace tq
