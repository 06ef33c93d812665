// SmolLM3: the Llama layout with layers that do not rotate queries and keys. After transformers'
// modeling_smollm3.py.
#include <string>
#include <vector>

#include "base/error.h"
#include "model/arch/gqa_config.h"
#include "model/arch/registry.h"
#include "model/arch/rope.h"
#include "model/config_reader.h"

namespace tq {
namespace {

enum SmolRope { kRotates, kStays };

// For each layer, whether it rotates: the field says 1 where it does, in spite of its name.
std::vector<bool> read_rotates(ConfigReader& config, int64_t n_layers) {
  const int64_t interval = config.size_or("no_rope_layer_interval", 4);
  const std::vector<int64_t> given = config.counts("no_rope_layers");
  if (!given.empty() && static_cast<int64_t>(given.size()) < n_layers) {
    fail(ErrorCode::kCorrupt, "{}: no_rope_layers has {} entries for {} layers", config.where(),
         given.size(), n_layers);
  }
  std::vector<bool> rotates;
  for (int64_t i = 0; i < n_layers; ++i) {
    rotates.push_back(given.empty() ? (i + 1) % interval != 0 : given[static_cast<size_t>(i)] != 0);
  }
  return rotates;
}

}  // namespace

ModelSpec read_smollm3_config(const Json& json) {
  ConfigReader config(json, "config.json");
  ModelSpec spec;
  spec.arch = config.string_or("model_type", "");
  spec.vocab = config.need_size("vocab_size");
  spec.hidden = config.need_size("hidden_size");
  spec.max_position = config.size_or("max_position_embeddings", 32768);
  spec.norm_eps = static_cast<float>(config.positive_or("rms_norm_eps", 1e-6));
  spec.tied_head = config.bool_or("tie_word_embeddings", true);

  GqaSpec attention = read_gqa(config, spec.hidden);
  attention.bias = attention.o_bias = config.bool_or("attention_bias", false);
  refuse_windows(config);
  spec.ropes.resize(2);
  spec.ropes[kRotates] = read_rope(config, attention.head_dim, 2000000);
  spec.ropes[kStays].inv_freq = {0.0f};  // one pair that does not turn

  MlpSpec mlp;
  mlp.width = config.need_size("intermediate_size");
  mlp.bias = config.bool_or("mlp_bias", false);
  config.expect("hidden_act", "silu");
  const int64_t n_layers = config.need_size("num_hidden_layers", kMaxLayers);
  for (const bool rotates : read_rotates(config, n_layers)) {
    attention.rope = rotates ? kRotates : kStays;
    spec.layers.push_back({attention, mlp});
  }
  config.finish();
  return spec;
}

TensorNames smollm3_tensor_names() {
  TensorNames names;
  names.unused = {"rotary_emb.inv_freq"};
  return names;
}

}  // namespace tq
