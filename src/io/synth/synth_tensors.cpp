#include "io/synth/synth_tensors.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

namespace tq {
namespace {

// Scales keep activations near 1 through all layers: projections of n inputs deviate by 1/sqrt(n),
// norms weigh about 1. Routers get scores that differ by about 2, so that experts are chosen by the
// token and not by the noise of arithmetic.
constexpr float kScoreDeviation = 2;

struct DecoderStyle {
  std::string body = "model.";
  float norm_zero = 0;            // the weight of norms that counts as 0: -1 for (1 + weight)
  bool scaled_embedding = false;  // the model multiplies embeddings by sqrt(hidden) (Gemma)
  bool post_norms = false;        // norms of the outputs of attention and MLP (Gemma)
};

// Collects tensors; sizes are asked for by the names they have in the config.
class TensorList {
 public:
  explicit TensorList(const Json& config) : config_(config) {}

  int64_t operator[](const char* key) const { return config_.at(key).get<int64_t>(); }
  int64_t or_else(const char* key, int64_t fallback) const { return config_.value(key, fallback); }
  // How much what a block returns weighs in the residual stream: 2 blocks of n layers add up to
  // half of what the embedding is, so no block drowns those before it. At full weight random layers
  // amplify the noise of arithmetic until nothing can be compared, and random attention, which
  // looks at all tokens about equally, makes them alike.
  float branch_weight() const {
    return 0.5f / std::sqrt(2 * static_cast<float>((*this)["num_hidden_layers"]));
  }
  bool is(const char* key) const { return config_.at(key).get<bool>(); }
  std::string text(size_t i, const char* key) const { return config_.at(key).at(i); }

  void set_style(const DecoderStyle& style) { style_ = style; }
  // What the following names begin with.
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }

  void add(std::string_view name, Shape shape, SynthDistribution distribution,
           DType dtype = DType::kBF16) {
    tensors_.push_back({fmt::format("{}{}", prefix_, name), std::move(shape), distribution, dtype});
  }
  // rows = shape but the last; outputs deviate by `deviation` for inputs that deviate by 1.
  void linear(std::string_view name, Shape shape, float deviation = 1) {
    const auto in = static_cast<float>(shape.back());
    add(name, std::move(shape), {0, deviation / std::sqrt(in)});
  }
  // Of a block whose output goes to the residual stream, unless a norm comes between.
  void output_linear(std::string_view name, Shape shape) {
    linear(name, std::move(shape), style_.post_norms ? 1 : branch_weight());
  }
  // factor: what it multiplies by.
  void norm(std::string_view name, int64_t n, float factor = 1) {
    add(fmt::format("{}.weight", name), {n}, {style_.norm_zero + factor, 0.1f * factor});
  }

  std::vector<SynthTensor> take() { return std::move(tensors_); }

 private:
  const Json& config_;
  DecoderStyle style_;
  std::string prefix_;
  std::vector<SynthTensor> tensors_;
};

struct GqaSizes {
  int64_t heads, kv_heads, head_dim;
  bool k = true, v = true;
  std::optional<float> qk_norm = 1.0f;  // mean weight of the norms of q and k; none without them
  bool output_gate = false;             // a gate for each head behind its query
};

void add_gqa(TensorList& list, const GqaSizes& gqa) {
  const int64_t hidden = list["hidden_size"];
  const int64_t q_rows = gqa.heads * gqa.head_dim * (gqa.output_gate ? 2 : 1);
  list.linear("self_attn.q_proj.weight", {q_rows, hidden});
  if (gqa.k) list.linear("self_attn.k_proj.weight", {gqa.kv_heads * gqa.head_dim, hidden});
  if (gqa.v) list.linear("self_attn.v_proj.weight", {gqa.kv_heads * gqa.head_dim, hidden});
  list.output_linear("self_attn.o_proj.weight", {hidden, gqa.heads * gqa.head_dim});
  if (!gqa.qk_norm) return;
  list.norm("self_attn.q_norm", gqa.head_dim, *gqa.qk_norm);
  if (gqa.k) list.norm("self_attn.k_norm", gqa.head_dim, *gqa.qk_norm);
}

void add_mlp(TensorList& list, const std::string& name, int64_t width) {
  const int64_t hidden = list["hidden_size"];
  list.linear(name + ".gate_proj.weight", {width, hidden});
  list.linear(name + ".up_proj.weight", {width, hidden});
  list.output_linear(name + ".down_proj.weight", {hidden, width});
}

// A router of softmax or sigmoid scores over experts that are stored one by one.
void add_experts(TensorList& list, int64_t n_experts) {
  list.linear("mlp.gate.weight", {n_experts, list["hidden_size"]}, kScoreDeviation);
  for (int64_t e = 0; e < n_experts; ++e) {
    add_mlp(list, fmt::format("mlp.experts.{}", e), list["moe_intermediate_size"]);
  }
}

// Embedding, layers by `add_layer`, final norm and head, under the names all these models use.
template <typename AddLayer>
void add_decoder(TensorList& list, const DecoderStyle& style, AddLayer add_layer) {
  const int64_t hidden = list["hidden_size"];
  const float shrink = 1 / std::sqrt(static_cast<float>(hidden));
  const bool tied = list.is("tie_word_embeddings");
  list.set_style(style);
  list.set_prefix(style.body);
  list.add("embed_tokens.weight", {list["vocab_size"], hidden},
           {0, style.scaled_embedding ? shrink : 1});
  for (int64_t i = 0; i < list["num_hidden_layers"]; ++i) {
    list.set_prefix(fmt::format("{}layers.{}.", style.body, i));
    list.norm("input_layernorm", hidden);
    if (style.post_norms) {
      list.norm("post_attention_layernorm", hidden, list.branch_weight());
      list.norm("pre_feedforward_layernorm", hidden);
      list.norm("post_feedforward_layernorm", hidden, list.branch_weight());
    } else {
      list.norm("post_attention_layernorm", hidden);
    }
    add_layer(i);
  }
  list.set_prefix(style.body);
  // A table whose rows deviate by 1 is too large for a head: the norm before it makes up.
  list.norm("norm", hidden, tied && !style.scaled_embedding ? shrink : 1);
  list.set_prefix("");
  if (!tied) list.linear("lm_head.weight", {list["vocab_size"], hidden}, kScoreDeviation);
}

void add_llama(TensorList& list) {
  add_decoder(list, {}, [&](int64_t) {
    const int64_t heads = list["num_attention_heads"];
    add_gqa(list, {.heads = heads,
                   .kv_heads = list["num_key_value_heads"],
                   .head_dim = list.or_else("head_dim", list["hidden_size"] / heads),
                   .qk_norm = {}});
    add_mlp(list, "mlp", list["intermediate_size"]);
  });
}

void add_phi3(TensorList& list) {
  add_decoder(list, {}, [&](int64_t) {
    const int64_t hidden = list["hidden_size"];
    const int64_t heads = list["num_attention_heads"];
    const int64_t head_dim = hidden / heads;
    const int64_t rows = (heads + 2 * list["num_key_value_heads"]) * head_dim;
    list.linear("self_attn.qkv_proj.weight", {rows, hidden});
    list.output_linear("self_attn.o_proj.weight", {hidden, heads * head_dim});
    list.linear("mlp.gate_up_proj.weight", {2 * list["intermediate_size"], hidden});
    list.output_linear("mlp.down_proj.weight", {hidden, list["intermediate_size"]});
  });
}

// Experts as stacks with rows as everywhere, which is how gpt-oss's checkpoints are presented.
void add_gpt_oss(TensorList& list) {
  add_decoder(list, {}, [&](int64_t) {
    constexpr SynthDistribution kBias{0, 0.1f};
    const int64_t hidden = list["hidden_size"];
    const int64_t width = list["intermediate_size"];
    const int64_t n = list["num_local_experts"];
    const GqaSizes gqa{.heads = list["num_attention_heads"],
                       .kv_heads = list["num_key_value_heads"],
                       .head_dim = list["head_dim"],
                       .qk_norm = {}};
    add_gqa(list, gqa);
    list.add("self_attn.q_proj.bias", {gqa.heads * gqa.head_dim}, kBias);
    list.add("self_attn.k_proj.bias", {gqa.kv_heads * gqa.head_dim}, kBias);
    list.add("self_attn.v_proj.bias", {gqa.kv_heads * gqa.head_dim}, kBias);
    list.add("self_attn.o_proj.bias", {hidden}, {0, 0.01f});
    list.add("self_attn.sinks", {gqa.heads}, {0, 1});
    list.linear("mlp.router.weight", {n, hidden}, kScoreDeviation);
    list.add("mlp.router.bias", {n}, kBias);
    list.linear("mlp.experts.gate_proj.weight", {n, width, hidden});
    list.add("mlp.experts.gate_proj.bias", {n, width}, kBias);
    list.linear("mlp.experts.up_proj.weight", {n, width, hidden});
    list.add("mlp.experts.up_proj.bias", {n, width}, kBias);
    list.output_linear("mlp.experts.down_proj.weight", {n, hidden, width});
    list.add("mlp.experts.down_proj.bias", {n, hidden}, {0, 0.01f});
  });
}

void add_qwen3(TensorList& list, bool moe) {
  add_decoder(list, {}, [&](int64_t) {
    add_gqa(list, {list["num_attention_heads"], list["num_key_value_heads"], list["head_dim"]});
    if (moe) {
      add_experts(list, list["num_experts"]);
    } else {
      add_mlp(list, "mlp", list["intermediate_size"]);
    }
  });
}
void add_qwen3_dense(TensorList& list) { add_qwen3(list, false); }
void add_qwen3_moe(TensorList& list) { add_qwen3(list, true); }

void add_gemma3(TensorList& list) {
  const DecoderStyle style{.norm_zero = -1, .scaled_embedding = true, .post_norms = true};
  add_decoder(list, style, [&](int64_t) {
    add_gqa(list, {.heads = list["num_attention_heads"],
                   .kv_heads = list["num_key_value_heads"],
                   .head_dim = list["head_dim"]});
    add_mlp(list, "mlp", list["intermediate_size"]);
  });
}

// The layer's attention; layers that share the keys and values of an earlier one have none.
void add_gemma4_attention(TensorList& list, int64_t layer, bool shares_kv) {
  const bool global = list.text(static_cast<size_t>(layer), "layer_types") == "full_attention";
  const bool k_is_v = global && list.is("attention_k_eq_v");
  GqaSizes gqa;
  gqa.heads = list["num_attention_heads"];
  gqa.kv_heads = list[k_is_v ? "num_global_key_value_heads" : "num_key_value_heads"];
  gqa.head_dim = list[global ? "global_head_dim" : "head_dim"];
  gqa.k = !shares_kv;
  gqa.v = !shares_kv && !k_is_v;
  // Scores are not divided by sqrt(head_dim); in trained models the norms of q and k make up.
  gqa.qk_norm = std::pow(static_cast<float>(gqa.head_dim), -0.25f);
  add_gqa(list, gqa);
}

void add_gemma4_experts(TensorList& list) {
  const int64_t hidden = list["hidden_size"];
  const int64_t n = list["num_experts"];
  const int64_t width = list["moe_intermediate_size"];
  list.norm("post_feedforward_layernorm_1", hidden);
  list.norm("post_feedforward_layernorm_2", hidden);
  list.norm("pre_feedforward_layernorm_2", hidden);
  // The router divides its input by sqrt(hidden) itself.
  list.add("router.proj.weight", {n, hidden}, {0, kScoreDeviation});
  list.add("router.scale", {hidden}, {1, 0.1f});
  list.add("router.per_expert_scale", {n}, {1, 0.1f});
  list.linear("experts.gate_up_proj", {n, 2 * width, hidden});
  list.output_linear("experts.down_proj", {n, hidden, width});
}

void add_gemma4_layer(TensorList& list, int64_t i) {
  const int64_t hidden = list["hidden_size"];
  const int64_t ple = list["hidden_size_per_layer_input"];
  const int64_t n_shared = list["num_kv_shared_layers"];
  const bool shares_kv = i >= list["num_hidden_layers"] - n_shared;
  list.add("layer_scalar", {1}, {1, 0.05f});  // of the whole stream: others would drown it
  add_gemma4_attention(list, i, shares_kv);
  const bool wide = shares_kv && list.is("use_double_wide_mlp");
  add_mlp(list, "mlp", list["intermediate_size"] * (wide ? 2 : 1));
  if (list.is("enable_moe_block")) add_gemma4_experts(list);
  if (ple == 0) return;
  list.linear("per_layer_input_gate.weight", {ple, hidden});
  list.output_linear("per_layer_projection.weight", {hidden, ple});
  list.norm("post_per_layer_input_norm", hidden, list.branch_weight());
}

void add_gemma4(TensorList& list) {
  const DecoderStyle style{
      .body = "model.language_model.", .scaled_embedding = true, .post_norms = true};
  const int64_t ple = list["hidden_size_per_layer_input"];
  if (ple > 0) {
    const int64_t width = list["num_hidden_layers"] * ple;
    list.set_prefix(style.body);
    list.add("embed_tokens_per_layer.weight", {list["vocab_size_per_layer_input"], width},
             {0, 1 / std::sqrt(static_cast<float>(ple))});
    list.linear("per_layer_model_projection.weight", {width, list["hidden_size"]});
    list.norm("per_layer_projection_norm", ple);
  }
  add_decoder(list, style, [&](int64_t i) { add_gemma4_layer(list, i); });
}

void add_delta_net(TensorList& list) {
  const int64_t hidden = list["hidden_size"];
  const int64_t heads = list["linear_num_value_heads"];
  const int64_t values = heads * list["linear_value_head_dim"];
  const int64_t channels = 2 * list["linear_num_key_heads"] * list["linear_key_head_dim"] + values;
  list.linear("linear_attn.in_proj_qkv.weight", {channels, hidden});
  list.linear("linear_attn.in_proj_z.weight", {values, hidden});
  list.linear("linear_attn.in_proj_b.weight", {heads, hidden});
  list.linear("linear_attn.in_proj_a.weight", {heads, hidden});
  list.linear("linear_attn.conv1d.weight", {channels, 1, list["linear_conv_kernel_dim"]});
  // States that forget a tenth to a half with each token.
  list.add("linear_attn.A_log", {heads}, {-1, 0.5f});
  list.add("linear_attn.dt_bias", {heads}, {0, 0.5f});
  list.add("linear_attn.norm.weight", {list["linear_value_head_dim"]}, {1, 0.1f});
  list.output_linear("linear_attn.out_proj.weight", {hidden, values});
}

void add_qwen3_5(TensorList& list, bool moe) {
  const DecoderStyle style{.body = "model.language_model.", .norm_zero = -1};
  add_decoder(list, style, [&](int64_t i) {
    if ((i + 1) % list["full_attention_interval"] == 0) {
      add_gqa(list, {.heads = list["num_attention_heads"],
                     .kv_heads = list["num_key_value_heads"],
                     .head_dim = list["head_dim"],
                     .output_gate = true});
    } else {
      add_delta_net(list);
    }
    if (!moe) return add_mlp(list, "mlp", list["intermediate_size"]);
    const int64_t n = list["num_experts"];
    const int64_t width = list["moe_intermediate_size"];
    const int64_t hidden = list["hidden_size"];
    list.linear("mlp.gate.weight", {n, hidden}, kScoreDeviation);
    list.linear("mlp.experts.gate_up_proj", {n, 2 * width, hidden});
    list.output_linear("mlp.experts.down_proj", {n, hidden, width});
    add_mlp(list, "mlp.shared_expert", list["shared_expert_intermediate_size"]);
    list.linear("mlp.shared_expert_gate.weight", {1, hidden});
  });
}
void add_qwen3_5_dense(TensorList& list) { add_qwen3_5(list, false); }
void add_qwen3_5_moe(TensorList& list) { add_qwen3_5(list, true); }

void add_mla(TensorList& list) {
  const int64_t hidden = list["hidden_size"];
  const int64_t heads = list["num_attention_heads"];
  const int64_t q_rank = list["q_lora_rank"];
  const int64_t kv_rank = list["kv_lora_rank"];
  const int64_t nope = list["qk_nope_head_dim"];
  const int64_t rope = list["qk_rope_head_dim"];
  const int64_t v = list["v_head_dim"];
  list.linear("self_attn.q_a_proj.weight", {q_rank, hidden});
  list.norm("self_attn.q_a_layernorm", q_rank);
  list.linear("self_attn.q_b_proj.weight", {heads * (nope + rope), q_rank});
  list.linear("self_attn.kv_a_proj_with_mqa.weight", {kv_rank + rope, hidden});
  list.norm("self_attn.kv_a_layernorm", kv_rank);
  list.linear("self_attn.kv_b_proj.weight", {heads * (nope + v), kv_rank});
  list.output_linear("self_attn.o_proj.weight", {hidden, heads * v});
}

void add_glm4_moe_lite(TensorList& list) {
  add_decoder(list, {}, [&](int64_t i) {
    add_mla(list);
    if (i < list["first_k_dense_replace"]) {
      add_mlp(list, "mlp", list["intermediate_size"]);
      return;
    }
    add_experts(list, list["n_routed_experts"]);
    list.add("mlp.gate.e_score_correction_bias", {list["n_routed_experts"]}, {0, 0.1f},
             DType::kF32);
    add_mlp(list, "mlp.shared_experts", list["moe_intermediate_size"] * list["n_shared_experts"]);
  });
}

template <typename AddTensors>
std::vector<SynthTensor> tensors_of(const Json& config, AddTensors add_tensors) {
  TensorList list(config);
  add_tensors(list);
  return list.take();
}

}  // namespace

std::vector<SynthTensor> llama_tensors(const Json& config) { return tensors_of(config, add_llama); }
std::vector<SynthTensor> phi3_tensors(const Json& config) { return tensors_of(config, add_phi3); }
std::vector<SynthTensor> gpt_oss_tensors(const Json& config) {
  return tensors_of(config, add_gpt_oss);
}
std::vector<SynthTensor> qwen3_dense_tensors(const Json& config) {
  return tensors_of(config, add_qwen3_dense);
}
std::vector<SynthTensor> qwen3_moe_tensors(const Json& config) {
  return tensors_of(config, add_qwen3_moe);
}
std::vector<SynthTensor> gemma3_tensors(const Json& config) {
  return tensors_of(config, add_gemma3);
}
std::vector<SynthTensor> gemma4_tensors(const Json& config) {
  return tensors_of(config, add_gemma4);
}
std::vector<SynthTensor> qwen3_5_dense_tensors(const Json& config) {
  return tensors_of(config, add_qwen3_5_dense);
}
std::vector<SynthTensor> qwen3_5_moe_tensors(const Json& config) {
  return tensors_of(config, add_qwen3_5_moe);
}
std::vector<SynthTensor> glm4_moe_lite_tensors(const Json& config) {
  return tensors_of(config, add_glm4_moe_lite);
}

}  // namespace tq
