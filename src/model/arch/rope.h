// Rotary embedding frequencies from config fields, shared by the architectures.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/config_reader.h"
#include "model/spec.h"

namespace tq {

// inv_freq[j] = theta^(-2j / dims), j < dims / 2, in the fp32 steps of transformers. The rope_theta
// of `params` goes before `theta` and its scaling is applied: "default", "linear", "llama3", "yarn"
// or "proportional", in which only the first pairs turn. Throws kUnsupported for any other type or
// field.
RopeSpec make_rope(int64_t dims, double theta, ConfigReader params);
// The same by the object `key` of `from`, unscaled if there is none.
RopeSpec make_rope(int64_t dims, double theta, ConfigReader& from, std::string_view key);

// longrope, Phi-3's ("su" and "yarn" in its first files), which divides each frequency by a number
// of its own: one list for contexts up to original_max_position_embeddings, one for longer ones.
// max_position: of the config, for the attention factor unless that or a factor is given.
RopeSpec make_longrope(int64_t dims, double theta, int64_t max_position, ConfigReader params);

// Which of "rope_parameters" (transformers 5) and "rope_scaling" a config uses. Throws kUnsupported
// when both are set.
std::string_view rope_key(const ConfigReader& config);

// A model with one rope: "rope_theta" with "rope_scaling", or "rope_parameters" holding both.
RopeSpec read_rope(ConfigReader& config, int64_t dims, double default_theta);

}  // namespace tq
