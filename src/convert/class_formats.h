// Which storage format each class of tensors gets: named choices, and what is chosen when nobody
// says. Plain data.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "model/tensor_roles.h"

namespace tq {

// What plans that are not uniform use for most weights.
constexpr std::string_view kThreeBits = "w7_3";
constexpr std::string_view kFourBits = "w7_4";
// What plans choose among, by bits.
constexpr std::array<std::string_view, 6> kPlanFormats = {"tq2", kThreeBits, kFourBits,
                                                          "tq5", "tq6",      "tq8"};

constexpr std::string_view kKeep = "keep";  // leave a tensor as the source has it

// Names of formats, or kKeep; attention is in three parts.
struct ClassFormats {
  std::string_view embed;
  std::string_view head;
  std::string_view keys_values;  // k_proj, v_proj, latent attention's kv_a_proj
  std::string_view output;       // o_proj
  std::string_view attention;    // the rest of it
  std::string_view mlp;
  std::string_view experts;
  // Projections of layers that keep a state (DeltaNet), their output too. What they write is read
  // by all later tokens: plans give them six bits or more unless they are told otherwise.
  std::string_view recurrent = "tq6";
  bool operator==(const ClassFormats&) const = default;
};

// Its fields, with the names that plan files and reports have for them.
using FormatMember = std::string_view ClassFormats::*;
struct FormatClass {
  std::string_view name;     // "keys_values"
  std::string_view in_text;  // "keys and values"
  FormatMember member;
};
std::span<const FormatClass> format_classes();
const FormatClass& format_class(FormatMember member);
const FormatClass* find_format_class(std::string_view name);  // null: there is none
// Whether layers have tensors of the class: not of the head and of embeddings.
constexpr bool in_layers(FormatMember member) {
  return member != &ClassFormats::head && member != &ClassFormats::embed;
}
// Of tensors with this role; null for those that keep their type whatever the plan.
const FormatClass* format_class_of(TensorRole role);

// An exception: of one class, layers [first, last].
struct LayerFormat {
  FormatMember member;
  int64_t first;
  int64_t last;
  std::string_view format;
  bool operator==(const LayerFormat&) const = default;
};

// A format for every class, in some layers another: the first exception that matches counts.
struct FormatPlan {
  ClassFormats classes;
  std::vector<LayerFormat> layers;
  bool operator==(const FormatPlan&) const = default;

  // layer: -1 for tensors outside of layers.
  std::string_view format(FormatMember member, int64_t layer) const;
};

// "tq2 tq3 ... f16": for messages that must say what would be accepted.
std::string format_names();
// Throws kInvalidArgument, with all names, for a format that does not exist.
const FormatTraits& need_format(std::string_view name);
// The format, or tq8 where it has fewer bits.
const FormatTraits& at_least_8_bits(const FormatTraits& format);

// One format for all linears; head and embeddings at 8 bits or more.
ClassFormats uniform_formats(const FormatTraits& format);

// Weights of the linears (attention, MLPs, experts; towers do not count), in all and of them those
// that make keys and values.
struct LinearWeights {
  int64_t all = 0;
  int64_t keys_values = 0;

  // Whether heads share keys and values, or experts are so many, that six bits for those cost
  // little: a sixth of a bit for a weight over four bits, a quarter over three.
  bool few_keys_values() const { return keys_values * 12 <= all; }
};
LinearWeights count_linears(const Checkpoint& source);

// What a large model's linears may take, for formats that depend on it.
struct MemoryLimit {
  std::function<bool(const ClassFormats&)> holds;  // empty: everything
  std::string name;                                // for notes: "the 24.0 GB of this machine's GPU"
};
// By the number of parameters and, for large models, the memory: docs/convert.md has the
// measurements. Adds a note that says which.
ClassFormats automatic_formats(const Checkpoint& source, const MemoryLimit& memory,
                               std::vector<std::string>& notes);

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
