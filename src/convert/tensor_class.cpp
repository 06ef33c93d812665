#include "convert/tensor_class.h"

#include <array>

namespace tq {

std::string_view tensor_class_name(TensorClass tensor_class) {
  static constexpr std::array<std::string_view, kTensorClasses> kNames = {
      "embed", "head", "attention", "mlp", "experts", "router", "norm", "bias", "vision", "other"};
  return kNames[static_cast<size_t>(tensor_class)];
}

TensorClass class_of(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kPerLayerTable:
      return TensorClass::kEmbed;
    case TensorRole::kHead:
      return TensorClass::kHead;
    case TensorRole::kAttention:
    case TensorRole::kKeysValues:
    case TensorRole::kLatentExpansion:
    case TensorRole::kOutput:
    case TensorRole::kRecurrent:
      return TensorClass::kAttention;
    case TensorRole::kMlp:
      return TensorClass::kMlp;
    case TensorRole::kExperts:
      return TensorClass::kExperts;
    case TensorRole::kRouter:
      return TensorClass::kRouter;
    case TensorRole::kNorm:
      return TensorClass::kNorm;
    case TensorRole::kBias:
      return TensorClass::kBias;
    case TensorRole::kTower:
      return TensorClass::kVision;
    case TensorRole::kRecurrence:
    case TensorRole::kPerLayerProjection:
    case TensorRole::kOther:
      break;
  }
  return TensorClass::kOther;
}

}  // namespace tq
