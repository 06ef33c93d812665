#include "model/spec.h"

#include "base/check.h"
#include "kernels/ops/recurrent.h"

namespace tq {
namespace {

KvLayerShape kv_shape(const GqaSpec& gqa) {
  if (gqa.kv_from) return {.from = *gqa.kv_from};
  return {gqa.n_kv_heads, gqa.head_dim, gqa.head_dim};
}

KvLayerShape kv_shape(const MlaSpec& mla) {
  return {
      .n_kv_heads = 1, .k_dim = mla.kv_rank + mla.rope_dim, .v_dim = mla.kv_rank, .v_in_k = true};
}

KvLayerShape kv_shape(const DeltaNetSpec& net) {
  return {.state_floats = net.conv_floats() + net.rule_floats()};
}

void check_rope(const ModelSpec& spec, int rope, int64_t dims, const char* field) {
  TQ_CHECK(rope >= 0 && rope < static_cast<int>(spec.ropes.size()), "rope {}", rope);
  const auto n_pairs = static_cast<int64_t>(spec.ropes[static_cast<size_t>(rope)].inv_freq.size());
  if (dims % 2 != 0 || n_pairs * 2 > dims) {
    fail(ErrorCode::kCorrupt, "config.json: {} ({}) does not hold {} rotated pairs", field, dims,
         n_pairs);
  }
}

void check_cached(int64_t dims, const char* field) {
  if (dims <= kMaxHeadDim) return;
  fail(ErrorCode::kUnsupported, "config.json: {} is {}: at most {} is supported", field, dims,
       kMaxHeadDim);
}

void check_attention(const GqaSpec& gqa, const ModelSpec& spec) {
  if (gqa.n_heads % gqa.n_kv_heads != 0) {
    fail(ErrorCode::kCorrupt,
         "config.json: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})",
         gqa.n_heads, gqa.n_kv_heads);
  }
  check_rope(spec, gqa.rope, gqa.head_dim, "head_dim");
  check_cached(gqa.head_dim, "head_dim");
  if (!gqa.kv_from) return;
  const auto donor_index = static_cast<size_t>(*gqa.kv_from);
  TQ_CHECK(donor_index < spec.layers.size(), "layer {} as donor", donor_index);
  const auto* donor = std::get_if<GqaSpec>(&spec.layers[donor_index].attention);
  TQ_CHECK(donor != nullptr && !donor->kv_from, "layer {} as donor", donor_index);
  if (donor->n_kv_heads != gqa.n_kv_heads || donor->head_dim != gqa.head_dim) {
    fail(ErrorCode::kCorrupt,
         "config.json: num_kv_shared_layers: layer {} has another head size or another number of "
         "kv heads than the layers that share its keys and values",
         donor_index);
  }
}

void check_attention(const MlaSpec& mla, const ModelSpec& spec) {
  check_rope(spec, mla.rope, mla.rope_dim, "qk_rope_head_dim");
  check_cached(mla.kv_rank + mla.rope_dim, "kv_lora_rank + qk_rope_head_dim");
}

void check_attention(const DeltaNetSpec& net, const ModelSpec& /*spec*/) {
  if (net.n_heads % net.n_k_heads != 0) {
    fail(ErrorCode::kCorrupt,
         "config.json: linear_num_value_heads ({}) is not a multiple of linear_num_key_heads ({})",
         net.n_heads, net.n_k_heads);
  }
  if (net.k_dim > kMaxStateKey || net.v_dim > kMaxHeadDim) {
    fail(ErrorCode::kUnsupported,
         "config.json: linear_key_head_dim {} and linear_value_head_dim {}: at most {} and {} are "
         "supported",
         net.k_dim, net.v_dim, kMaxStateKey, kMaxHeadDim);
  }
  if (net.conv_width < 2 || net.conv_width > kMaxConvWidth) {
    fail(ErrorCode::kUnsupported,
         "config.json: linear_conv_kernel_dim is {}: 2 to {} are supported", net.conv_width,
         kMaxConvWidth);
  }
}

void check_ffn(const MlpSpec& /*mlp*/) {}

void check_ffn(const MoeSpec& moe) {
  if (moe.n_experts > kMaxExperts || moe.top_k > kMaxTopK) {
    fail(ErrorCode::kUnsupported,
         "config.json: {} experts, {} a token: at most {} and {} are supported", moe.n_experts,
         moe.top_k, kMaxExperts, kMaxTopK);
  }
  if (moe.n_experts % moe.n_groups != 0 || moe.top_groups > moe.n_groups) {
    fail(ErrorCode::kCorrupt, "config.json: the best {} of {} groups (n_group) of {} experts",
         moe.top_groups, moe.n_groups, moe.n_experts);
  }
  if (moe.top_k > moe.n_experts / moe.n_groups * moe.top_groups) {
    fail(ErrorCode::kCorrupt, "config.json: {} experts a token of the {} that are eligible",
         moe.top_k, moe.n_experts / moe.n_groups * moe.top_groups);
  }
}

void check_ffn(const MlpMoeSpec& both) { check_ffn(both.moe); }

}  // namespace

std::vector<KvLayerShape> ModelSpec::kv_layers() const {
  std::vector<KvLayerShape> shapes;
  for (const LayerSpec& layer : layers) {
    shapes.push_back(std::visit([](const auto& kind) { return kv_shape(kind); }, layer.attention));
  }
  return shapes;
}

std::vector<int64_t> ModelSpec::windows() const {
  std::vector<int64_t> windows;
  for (const LayerSpec& layer : layers) {
    const auto* gqa = std::get_if<GqaSpec>(&layer.attention);
    windows.push_back(gqa != nullptr ? gqa->window : 0);
  }
  return windows;
}

void ModelSpec::check() const {
  for (const LayerSpec& layer : layers) {
    std::visit([&](const auto& kind) { check_attention(kind, *this); }, layer.attention);
    std::visit([&](const auto& kind) { check_ffn(kind); }, layer.ffn);
  }
  if (per_layer_input && per_layer_input->vocab < vocab) {
    fail(ErrorCode::kUnsupported,
         "config.json: vocab_size_per_layer_input ({}) is smaller than vocab_size ({})",
         per_layer_input->vocab, vocab);
  }
}

}  // namespace tq
