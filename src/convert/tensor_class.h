// The classes of tensors by which formats are asked for and sizes reported.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/tensor_roles.h"

namespace tq {

// In the order of reports.
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

TensorClass class_of(TensorRole role);

}  // namespace tq
