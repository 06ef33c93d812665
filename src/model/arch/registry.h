// The architectures: for each, the model_type names it answers to, how its config becomes a
// ModelSpec and what its tensors are called. Immutable, thread safe. See docs/add-a-model.md.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/checkpoint.h"
#include "model/spec.h"

namespace tq {

// Tensor names, as Hugging Face checkpoints have them, without ".weight" or ".bias". Those of a
// layer follow "<body>layers.<i>."; a name that stays empty belongs to a tensor the architecture
// does not have.
struct TensorNames {
  // Where the decoder sits in a checkpoint: the first place that holds an embedding table is taken.
  struct Place {
    std::string_view body;  // "model."
    std::string_view head;  // "lm_head"
  };
  std::vector<Place> places = {{"model.", "lm_head"}};
  std::string_view embedding = "embed_tokens";
  std::string_view final_norm = "norm";

  std::string_view input_norm = "input_layernorm";
  std::string_view q = "self_attn.q_proj";
  std::string_view k = "self_attn.k_proj";
  std::string_view v = "self_attn.v_proj";
  std::string_view o = "self_attn.o_proj";
  // Rows of q, k and v in one tensor, of gate and up in another (Phi-3). Where such a name is set,
  // the parts are not asked for.
  std::string_view qkv;
  std::string_view gate_up;
  std::string_view q_norm = "self_attn.q_norm";
  std::string_view k_norm = "self_attn.k_norm";
  // Latent attention.
  std::string_view q_a = "self_attn.q_a_proj";
  std::string_view q_a_norm = "self_attn.q_a_layernorm";
  std::string_view q_b = "self_attn.q_b_proj";
  std::string_view kv_a = "self_attn.kv_a_proj_with_mqa";
  std::string_view kv_a_norm = "self_attn.kv_a_layernorm";
  std::string_view kv_b = "self_attn.kv_b_proj";

  // Gated DeltaNet; the last two are whole names.
  std::string_view delta_qkv = "linear_attn.in_proj_qkv";
  std::string_view delta_z = "linear_attn.in_proj_z";
  std::string_view delta_a = "linear_attn.in_proj_a";
  std::string_view delta_b = "linear_attn.in_proj_b";
  std::string_view delta_conv = "linear_attn.conv1d";
  std::string_view delta_norm = "linear_attn.norm";
  std::string_view delta_out = "linear_attn.out_proj";
  std::string_view delta_a_log = "linear_attn.A_log";
  std::string_view delta_dt_bias = "linear_attn.dt_bias";

  std::string_view post_attention_norm;
  std::string_view ffn_norm = "post_attention_layernorm";
  std::string_view gate = "mlp.gate_proj";
  std::string_view up = "mlp.up_proj";
  std::string_view down = "mlp.down_proj";
  std::string_view post_ffn_norm;

  // Mixture of experts. `experts` holds the stacks gate_up_proj [experts, 2 * width, hidden] and
  // down_proj [experts, hidden, width], or each expert's own "<e>.gate_proj.weight" and so on; all
  // forms that are read: tensor_requests.cpp.
  std::string_view router = "mlp.gate";
  std::string_view experts = "mlp.experts";
  std::string_view shared_gate = "mlp.shared_experts.gate_proj";
  std::string_view shared_up = "mlp.shared_experts.up_proj";
  std::string_view shared_down = "mlp.shared_experts.down_proj";
  std::string_view shared_expert_gate = "mlp.shared_expert_gate";
  std::string_view mlp_post_norm;  // the three norms of MlpMoeSpec
  std::string_view moe_pre_norm;
  std::string_view moe_post_norm;
  // Whole names: these have no suffix.
  std::string_view selection_bias = "mlp.gate.e_score_correction_bias";
  std::string_view sinks = "self_attn.sinks";
  std::string_view router_scale;
  std::string_view expert_scale;
  std::string_view output_scale;

  // Per-layer inputs: the table and what makes the vectors, then each layer's block.
  std::string_view ple_embedding = "embed_tokens_per_layer";
  std::string_view ple_model_projection = "per_layer_model_projection";
  std::string_view ple_projection_norm = "per_layer_projection_norm";
  std::string_view ple_gate = "per_layer_input_gate";
  std::string_view ple_projection = "per_layer_projection";
  std::string_view ple_post_norm = "post_per_layer_input_norm";

  // Parts of names of tensors that play no part in a text-only forward pass.
  std::vector<std::string_view> unused;
};

struct Architecture {
  std::vector<std::string_view> model_types;
  ModelSpec (*read_config)(const Json& config);
  TensorNames (*tensor_names)();

  // The checked spec. Throws kUnsupported for a config that would be computed wrongly, kNotFound
  // and kCorrupt for missing and impossible values.
  ModelSpec make_spec(const Json& config) const;
  // The same of a checkpoint's config; errors name its folder.
  ModelSpec make_spec(const Checkpoint& checkpoint) const;
};

// All of them, in the order of the list in registry.cpp.
std::span<const Architecture> all_architectures();
// By the config's model_type. Throws kNotFound without one, kUnsupported with a list for others.
const Architecture& find_architecture(const Json& config);
// That of a checkpoint's config. Throws also kUnsupported for what is no model (an adapter).
const Architecture& find_architecture(const Checkpoint& checkpoint);

// The spec that the checkpoint's config asks for; reads no weights. Throws what these throw.
ModelSpec read_spec(const Checkpoint& checkpoint);

// One pair of functions an architecture, each in the file of its name.
ModelSpec read_llama_config(const Json& config);
TensorNames llama_tensor_names();
ModelSpec read_gemma3_config(const Json& config);
TensorNames gemma3_tensor_names();
ModelSpec read_gemma4_config(const Json& config);
TensorNames gemma4_tensor_names();
ModelSpec read_qwen2_config(const Json& config);
TensorNames qwen2_tensor_names();
ModelSpec read_qwen3_config(const Json& config);
TensorNames qwen3_tensor_names();
ModelSpec read_qwen3_5_config(const Json& config);
TensorNames qwen3_5_tensor_names();
ModelSpec read_glm4_moe_lite_config(const Json& config);
TensorNames glm4_moe_lite_tensor_names();
ModelSpec read_mistral_config(const Json& config);
TensorNames mistral_tensor_names();
ModelSpec read_smollm3_config(const Json& config);
TensorNames smollm3_tensor_names();
ModelSpec read_phi3_config(const Json& config);
TensorNames phi3_tensor_names();
ModelSpec read_gpt_oss_config(const Json& config);
TensorNames gpt_oss_tensor_names();

}  // namespace tq
