// The architectures: for each, the model_type names it answers to, how its config becomes a
// ModelSpec and what its tensors are called. Immutable, thread safe. See docs/add-a-model.md.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
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
  std::string_view q_norm = "self_attn.q_norm";
  std::string_view k_norm = "self_attn.k_norm";
  std::string_view post_attention_norm;
  std::string_view ffn_norm = "post_attention_layernorm";
  std::string_view gate = "mlp.gate_proj";
  std::string_view up = "mlp.up_proj";
  std::string_view down = "mlp.down_proj";
  std::string_view post_ffn_norm;

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
};

// All of them, in the order of the list in registry.cpp.
std::span<const Architecture> all_architectures();
// By the config's model_type. Throws kNotFound without one, kUnsupported with a list for others.
const Architecture& find_architecture(const Json& config);

// One pair of functions an architecture, each in the file of its name.
ModelSpec read_llama_config(const Json& config);
TensorNames llama_tensor_names();
ModelSpec read_gemma3_config(const Json& config);
TensorNames gemma3_tensor_names();

}  // namespace tq
