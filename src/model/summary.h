// ModelSummary: what a model is made of and what running it takes, from its config and the index of
// its tensors, without reading a weight. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "kv/kv_cache.h"
#include "model/spec.h"

namespace tq {

// Layers of one kind.
struct LayerGroup {
  int64_t n_layers = 0;
  std::string attention;   // "full", "sliding", "latent", "delta rule"
  int64_t window = 0;      // of sliding attention
  bool shared_kv = false;  // reads the keys and values of an earlier layer
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;  // 1 for latent attention, whose heads share one vector
  int64_t head_dim = 0;    // of queries and keys, before latent attention absorbs their projection
  int64_t mlp_width = 0;   // of the dense MLP or the shared expert; 0: none
  int64_t n_experts = 0;   // 0: no mixture of experts
  int64_t top_k = 0;
  int64_t expert_width = 0;
  bool operator==(const LayerGroup&) const = default;
};

// What one layer reads of the KV cache.
struct KvUse {
  size_t from = 0;     // the layer whose keys and values these are
  int64_t window = 0;  // how far back it looks; 0: to the start
};

struct ModelSummary {
  std::string arch;
  int64_t hidden = 0;
  int64_t vocab = 0;
  int64_t max_position = 0;
  bool tied_head = false;
  int64_t n_layers = 0;
  std::vector<LayerGroup> layers;  // in the order of their first layer
  std::vector<KvUse> kv;           // for each layer
  std::vector<KvLayerShape> kv_shapes;

  // Of the tensors that the model uses. A token passes through all of them but the experts that
  // were not chosen for it, and tables of which it looks up a row.
  int64_t n_parameters = 0;
  int64_t active_parameters = 0;
  int64_t weight_bytes = 0;     // as the checkpoint stores them
  int64_t bytes_per_token = 0;  // of those, read for a decoded token

  // Keys and values of one token in all layers.
  int64_t kv_bytes_per_token(KvFormatId format) const;
  // The cache for a sequence of n_tokens, in whole pages, near pages included: layers with a window
  // keep what it and one step of step_tokens need (KvLayout).
  int64_t kv_bytes(int64_t n_tokens, const KvOptions& kv, int64_t step_tokens = 512) const;
  // What decoding the token after n_tokens reads of it: sliding layers look at their window only,
  // and of a compressed format the first and last tokens are read from near pages. States are read
  // whole.
  int64_t kv_bytes_read(int64_t n_tokens, const KvOptions& kv) const;

 private:
  KvLayout kv_layout(int64_t n_tokens, const KvOptions& kv, int64_t step_tokens) const;
};

// Of a spec alone: parameters and bytes stay 0.
ModelSummary summarize(const ModelSpec& spec);
// Throws what find_architecture, make_spec and find_tensors throw.
ModelSummary summarize(const Checkpoint& checkpoint);

}  // namespace tq
