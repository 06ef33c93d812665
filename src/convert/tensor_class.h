// The role of a tensor in a transformer, by which formats are chosen and sizes reported.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "tensor/dtype.h"

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

// Whether a name has one of the parts in it.
bool contains_any(std::string_view name, std::initializer_list<std::string_view> parts);

// By the tensor's HF name; stacks of experts by their shape too.
TensorClass classify_tensor(std::string_view name, const Shape& shape);

}  // namespace tq
