// Logical shapes for turboquant-vllm checkpoints, whose files keep neither the unpadded width of a
// row nor the number of experts in a stack: both follow from the tensor's name and the model's
// config.json. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/json.h"

namespace tq {

// The input width of the linear layer that holds the tensor, when a value of the config that layers
// of this name take their width from lies in (padded - group, padded].
std::optional<int64_t> reference_input_width(const Json& config, std::string_view name,
                                             int64_t padded, int64_t group);

// True for a fused 3-D stack such as "...experts.gate_up_proj", false for one expert's own matrix
// ("...experts.7.up_proj.weight") and for shared experts.
bool is_expert_stack(std::string_view name);

// The number of routed experts that the config states.
std::optional<int64_t> reference_expert_count(const Json& config);

}  // namespace tq
