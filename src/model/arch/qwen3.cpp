// Qwen3, dense and mixtures of experts: the Llama layout with normed queries and keys. After
// transformers' modeling_qwen3.py and modeling_qwen3_moe.py.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

GqaSpec read_attention(ConfigReader& config) {
  GqaSpec attention;
  attention.n_heads = config.need_size("num_attention_heads");
  attention.n_kv_heads = config.size_or("num_key_value_heads", attention.n_heads);
  attention.head_dim = config.size_or("head_dim", 128, kMaxHeadDim);
  attention.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(attention.head_dim)));
  attention.qk_norm = true;
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
  refuse_windows(config);
  return attention;
}

MoeSpec read_moe(ConfigReader& config) {
  MoeSpec moe;
  // transformers >= 5 writes num_local_experts.
  moe.n_experts = config.has("num_local_experts") ? config.need_size("num_local_experts")
                                                  : config.need_size("num_experts");
  moe.top_k = config.size_or("num_experts_per_tok", 8);
  moe.width = config.size_or("moe_intermediate_size", 768);
  moe.normalize = config.bool_or("norm_topk_prob", false);
  config.ignore({"output_router_logits", "router_aux_loss_coef"});
  return moe;
}

// For each layer, whether it has experts.
std::vector<bool> read_sparse(ConfigReader& config, int64_t n_layers) {
  const int64_t step = config.size_or("decoder_sparse_step", 1);
  const std::vector<int64_t> dense = config.counts("mlp_only_layers");
  std::vector<bool> sparse;
  for (int64_t i = 0; i < n_layers; ++i) {
    const bool is_dense = std::find(dense.begin(), dense.end(), i) != dense.end();
    sparse.push_back(!is_dense && (i + 1) % step == 0);
  }
  return sparse;
}

}  // namespace

ModelSpec read_qwen3_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 32768);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.tied_head = config.bool_or("tie_word_embeddings", false);

  const GqaSpec attention = read_attention(config);
  spec.ropes = {read_rope(config, attention.head_dim, 10000)};
  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  config.expect("hidden_act", "silu");

  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  spec.layers.assign(static_cast<size_t>(n_layers), {attention, mlp});
  if (spec.arch == "qwen3_moe") {
    const MoeSpec moe = read_moe(config);
    const std::vector<bool> sparse = read_sparse(config, n_layers);
    for (size_t i = 0; i < sparse.size(); ++i) {
      if (sparse[i]) spec.layers[i].ffn = moe;
    }
  }
  config.finish();
  return spec;
}

TensorNames qwen3_tensor_names() {
  TensorNames names;
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
