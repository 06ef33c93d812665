// The one answer to a weight that is NaN or an infinity, wherever it is met.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/checkpoint.h"

namespace tq {

// Throws kCorrupt for element `element` of the tensor, by the expert, row and column it is in;
// `way_out` ends the message.
[[noreturn]] void refuse_non_finite(const TensorEntry& tensor, int64_t element, float value,
                                    std::string_view way_out = {});

}  // namespace tq
