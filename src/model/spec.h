// ModelSpec: a decoder as plain data, made from a config by one file in arch/ and executed by the
// decoder. Whatever changes the mathematics is a field or a layer kind here, never a test of the
// architecture's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "kv/kv_cache.h"

namespace tq {

// More than any real model has: a config that asks for more is refused before memory is.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeadDim = 8192;

// Angles are position * inv_freq[j]; any scaling (llama3, linear) is already in inv_freq.
struct RopeSpec {
  std::vector<float> inv_freq;  // [rotated pairs]
  bool interleaved = false;
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
  bool bias = false;     // of q, k, v and o
};

// Gated MLP: down(activate(gate(x)) * up(x)).
struct MlpSpec {
  int64_t width = 0;
  Activate activate = Activate::kSilu;
  bool bias = false;  // of gate, up and down
};

struct LayerSpec {
  std::variant<GqaSpec> attention;
  std::variant<MlpSpec> ffn;
  bool post_attention_norm = false;  // norm of the attention output before it is added (Gemma)
  bool post_ffn_norm = false;        // likewise for the MLP
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

  // What each layer keeps in the KV cache.
  std::vector<KvLayerShape> kv_layers() const;
  // Throws kCorrupt, naming the fields, when sizes contradict each other.
  void check() const;
};

}  // namespace tq
