#include "model/spec.h"

#include "base/check.h"

namespace tq {
namespace {

KvLayerShape kv_shape(const GqaSpec& gqa) { return {gqa.n_kv_heads, gqa.head_dim, gqa.head_dim}; }

void check_attention(const GqaSpec& gqa, const ModelSpec& spec) {
  if (gqa.n_heads % gqa.n_kv_heads != 0) {
    fail(ErrorCode::kCorrupt,
         "config.json: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})",
         gqa.n_heads, gqa.n_kv_heads);
  }
  TQ_CHECK(gqa.rope >= 0 && gqa.rope < static_cast<int>(spec.ropes.size()), "rope {}", gqa.rope);
  const auto n_pairs =
      static_cast<int64_t>(spec.ropes[static_cast<size_t>(gqa.rope)].inv_freq.size());
  if (gqa.head_dim % 2 != 0 || n_pairs * 2 > gqa.head_dim) {
    fail(ErrorCode::kCorrupt, "config.json: head_dim ({}) does not hold {} rotated pairs",
         gqa.head_dim, n_pairs);
  }
}

}  // namespace

std::vector<KvLayerShape> ModelSpec::kv_layers() const {
  std::vector<KvLayerShape> shapes;
  for (const LayerSpec& layer : layers) {
    shapes.push_back(std::visit([](const auto& kind) { return kv_shape(kind); }, layer.attention));
  }
  return shapes;
}

void ModelSpec::check() const {
  for (const LayerSpec& layer : layers) {
    std::visit([&](const auto& kind) { check_attention(kind, *this); }, layer.attention);
  }
}

}  // namespace tq
