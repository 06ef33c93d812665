#include "convert/tensor_class.h"

#include <algorithm>
#include <array>

namespace tq {

std::string_view tensor_class_name(TensorClass tensor_class) {
  static constexpr std::array<std::string_view, kTensorClasses> kNames = {
      "embed", "head", "attention", "mlp", "experts", "router", "norm", "bias", "vision", "other"};
  return kNames[static_cast<size_t>(tensor_class)];
}

bool contains_any(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [name](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  });
}

TensorClass classify_tensor(std::string_view name, const Shape& shape) {
  if (contains_any(name, {"vision", "visual.", "audio", "multi_modal_projector"})) {
    return TensorClass::kVision;
  }
  if (contains_any(
          name, {".router.", ".gate.weight", ".e_score_correction_bias", "shared_expert_gate."})) {
    return TensorClass::kRouter;
  }
  if (contains_any(name, {"norm", "layer_scalar"})) return TensorClass::kNorm;
  if (name.ends_with("bias")) return TensorClass::kBias;
  if (contains_any(name, {"conv"}) || shape.size() < 2) return TensorClass::kOther;
  if (contains_any(name, {"embed_tokens"})) return TensorClass::kEmbed;
  if (contains_any(name, {"lm_head.", "shared_head.head."})) return TensorClass::kHead;
  if (contains_any(name, {".experts."}) ||
      (shape.size() == 3 && contains_any(name, {"w13", "w2", "gate_up_proj", "down_proj"}))) {
    return TensorClass::kExperts;
  }
  if (contains_any(name, {"attn.", "attention."})) return TensorClass::kAttention;
  if (contains_any(name, {"mlp.", "feed_forward.", "shared_expert"})) return TensorClass::kMlp;
  return TensorClass::kOther;
}

}  // namespace tq
