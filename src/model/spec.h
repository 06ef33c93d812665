// ModelSpec: a decoder as plain data, made from a config by one file in arch/ and executed by the
// decoder. Whatever changes the mathematics is a field or a layer kind here, never a test of the
// architecture's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/op_types.h"
#include "kv/kv_cache.h"

namespace tq {

// More than any real model has: a config that asks for more is refused before memory is.
constexpr int64_t kMaxLayers = 4096;

// Angles are position * inv_freq[j]; any scaling (llama3, linear, yarn) is already in inv_freq. A
// frequency of 0 leaves its pair as it is (proportional rope, layers without rope).
struct RopeSpec {
  std::vector<float> inv_freq;  // [rotated pairs]
  bool interleaved = false;
  float scale = 1;  // of cosines and sines (attention factor of yarn and longrope)
  // longrope: the frequencies of a model that is loaded for more than this many positions.
  std::vector<float> long_inv_freq;  // [rotated pairs]; empty: there are no others
  int64_t short_positions = 0;
  bool operator==(const RopeSpec&) const = default;
};

// Grouped-query attention.
struct GqaSpec {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;
  int64_t window = 0;    // 0: full causal
  float softcap = 0;     // 0: none
  int rope = 0;          // index into ModelSpec::ropes
  bool qk_norm = false;  // RMS norm of each q and k head, with weights, before rope
  bool bias = false;     // of q, k and v
  bool o_bias = false;

  // Queries at position t are multiplied by 1 + beta * ln(1 + floor(t / query_span)) after rope, as
  // in Llama 4; 0: they are not. Not with qk_norm.
  float query_beta = 0;
  int64_t query_span = 0;
  bool sinks = false;  // a learned score more for each query head, which has no value (gpt-oss)
  // The query projection has a gate for each head behind its query, by whose sigmoid what the head
  // returns is multiplied (Qwen3.5).
  bool output_gate = false;

  bool v_is_k = false;  // values are the key projection, as it is before norm and rope
  bool v_norm = false;  // RMS norm of each value head, without weights
  // Reads the keys and values of this earlier layer, of the same shape, and has none of its own.
  std::optional<int64_t> kv_from;
};

// Multi-head latent attention (DeepSeek V2): queries and keys of nope_dim + rope_dim, where all
// heads share the rotated rope_dim of the key and get the rest, and their values, from one latent
// vector of kv_rank, which is what the cache holds. Computed in the absorbed form.
struct MlaSpec {
  int64_t n_heads = 0;
  int64_t q_rank = 0;
  int64_t kv_rank = 0;
  int64_t nope_dim = 0;
  int64_t rope_dim = 0;
  int64_t v_dim = 0;
  float scale = 0;
  float latent_norm_eps = 0;  // of the norms of both latents
  int rope = 0;               // index into ModelSpec::ropes
};

// Gated DeltaNet: a layer that keeps, instead of keys and values, the last inputs of a short
// convolution and a matrix for each value head (ShortConvArgs, DeltaRuleArgs). Value head h reads
// key head h / (n_heads / n_k_heads).
struct DeltaNetSpec {
  int64_t n_k_heads = 0;
  int64_t n_heads = 0;  // of values
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  int64_t conv_width = 0;

  int64_t conv_dim() const { return 2 * n_k_heads * k_dim + n_heads * v_dim; }
  int64_t conv_floats() const { return (conv_width - 1) * conv_dim(); }  // of the state; then
  int64_t rule_floats() const { return n_heads * k_dim * v_dim; }        // the delta rule's
};

// Gated MLP: down(activate(gate(x)) * up(x)).
struct MlpSpec {
  int64_t width = 0;
  Activate activate = Activate::kSilu;
  bool bias = false;  // of gate, up and down
};

// Mixture of experts: the weighted sum of the top_k experts a router chooses, each a gated MLP, and
// of a shared expert that every token passes. Scores and choice: RouteArgs.
struct MoeSpec {
  int64_t n_experts = 0;
  int64_t top_k = 0;
  int64_t width = 0;  // of one expert
  Activate activate = Activate::kSilu;

  RouteScore score = RouteScore::kSoftmax;
  int64_t n_groups = 1;
  int64_t top_groups = 1;
  bool selection_bias = false;
  bool normalize = true;
  float weight_scale = 1;
  bool expert_scale = false;  // a learned factor for each expert's weight
  // The router reads the residual stream by a norm of its own, whose weights, times hidden^-0.5,
  // are the tensor router_scale; otherwise what the experts read.
  bool router_norm = false;

  bool bias = false;  // of the router and of each expert's projections
  // Experts activate by glu_clamped() with these (ClampedGluArgs); 0: by `activate`.
  float clamp_alpha = 0;
  float clamp_limit = 0;

  int64_t shared_width = 0;  // of the shared expert; 0: none
  bool shared_gate = false;  // its result is multiplied by the sigmoid of a learned score
};

// A gated MLP beside a mixture of experts, each with norms of its own (Gemma 4):
// post_norm_1(mlp(x)) + post_norm_2(moe(pre_norm_2(residual))).
struct MlpMoeSpec {
  MlpSpec mlp;
  MoeSpec moe;
};

struct LayerSpec {
  std::variant<GqaSpec, MlaSpec, DeltaNetSpec> attention;
  std::variant<MlpSpec, MoeSpec, MlpMoeSpec> ffn;
  bool post_attention_norm = false;  // norm of the attention output before it is added (Gemma)
  bool post_ffn_norm = false;        // likewise for the feed-forward block
  bool output_scale = false;         // a learned factor of the residual stream after the layer
};

// Gemma 4 E: every layer adds a block that reads a vector of its own for each token, made from a
// second embedding table and the first layer's input.
struct PerLayerInputSpec {
  int64_t dim = 0;
  int64_t vocab = 0;  // rows of the table [vocab, layers * dim]
  float embed_scale = 1;
  Activate activate = Activate::kGeluTanh;
};

struct ModelSpec {
  std::string arch;   // model_type of the config
  int64_t vocab = 0;  // rows of the embedding
  int64_t hidden = 0;
  int64_t max_position = 0;  // context the model was trained for
  float norm_eps = 0;
  float norm_weight_offset = 0;  // 1 where the checkpoint stores w of (1 + w)
  float embed_scale = 1;
  float final_softcap = 0;  // 0: none
  bool tied_head = false;   // logits use the embedding table
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;
  std::optional<PerLayerInputSpec> per_layer_input;

  // What each layer keeps in the KV cache; nothing where it reads another layer's.
  std::vector<KvLayerShape> kv_layers() const;
  // How far back each layer looks; 0: to the start.
  std::vector<int64_t> windows() const;
  // Throws kCorrupt, naming the fields, when sizes contradict each other.
  void check() const;
};

}  // namespace tq
