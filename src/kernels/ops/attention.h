// Arguments of attention and of what lies between it and the projections; of pointers and matrices
// see rows.h.
#pragma once

#include <cstdint>

#include "kernels/ops/kv.h"

namespace tq {

// The ragged batch as attention sees it: sequence s owns tokens [q_begin[s], q_begin[s+1]), the
// last of which is position kv_len[s] - 1; its pages are block_tables[s * max_blocks ...].
struct RaggedBatch {
  int64_t n_seqs;
  const int32_t* q_begin;  // [n_seqs + 1]
  const int32_t* kv_len;   // [n_seqs], this step's tokens included
  const int32_t* block_tables;
  int64_t max_blocks;
  // For backends that do not read the above on the host.
  int64_t tokens = 0;      // q_begin[n_seqs]
  int64_t max_kv_len = 0;  // at least the largest of kv_len
  // For layers with near pages (KvLayerView::near): their block tables, laid out like the above,
  // and for each sequence from which token on there are such pages of its tail.
  const int32_t* near_tables = nullptr;
  const int32_t* near_begin = nullptr;  // [n_seqs]
  const int32_t* states = nullptr;      // [n_seqs], slots of layers that keep a state (recurrent.h)
};

// A part of every key that is the same for all tokens but for its rotation (the bias of k_proj),
// where the cache holds keys without it: q . rope(bias) at the key's position is added to its
// score.
struct KeyBias {
  const float* bias = nullptr;    // [n_kv_heads, k_dim]; null: there is none
  const float* angles = nullptr;  // [positions in whole pages, stride]: cosines, sines, zeros
  int64_t stride = 0;             // 2 * n_pairs, padded to a multiple of 16
  int64_t n_pairs = 0;            // as in RopeArgs
  bool interleaved = false;
};

// Causal attention; softmax in fp32. Query head h reads kv head h / (n_heads / n_kv_heads). With a
// window w > 0 a query at t sees keys in (t - w, t]. Scores are scaled, then capped: cap * tanh(s /
// cap). With sink_scores, e^sink_scores[h] is added to the sum that the weights of a row of head h
// are divided by (Operators::has_sinks).
struct AttentionArgs {
  KvLayerView kv;
  RaggedBatch batch;
  const float* q;  // [tokens, n_heads, k_dim]
  int64_t n_heads;
  float scale;
  int64_t window;             // 0: none
  float softcap;              // 0: none
  float* out;                 // [tokens, n_heads, v_dim]
  void* workspace = nullptr;  // attention_bytes(...) of scratch
  KeyBias key_bias = {};
  const float* sink_scores = nullptr;  // [n_heads] or null
};

// What lies between the projections and attention: norms of the heads, rotary embedding of queries
// and keys, and kv_store. Without keys (k null) the queries alone.
struct AttentionInputsArgs {
  float* q;     // [tokens, n_heads, head_dim], in place
  float* k;     // [tokens, n_kv_heads, head_dim]; may be written
  float* v;     // likewise
  bool v_is_k;  // values are what k holds at first; v may be written
  int64_t tokens;
  int64_t n_heads;
  int64_t head_dim;
  bool qk_norm;
  const float* q_norm;  // [head_dim] or null for 1
  const float* k_norm;
  bool v_norm;  // without a weight
  float eps;
  int64_t n_pairs;  // as in RopeArgs
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
  KvLayerView kv;
  const int64_t* slots;                 // [tokens]
  const int64_t* near_slots = nullptr;  // likewise, with kv.near
};

// Latent attention's part between its projections and attention: each token's latent is normed and,
// with its rotated key behind it, stored; the rotated parts of the queries go behind the absorbed
// ones.
struct LatentInputsArgs {
  float* latent;             // [tokens, kv_rank + 2 * n_pairs]; may be written
  const float* latent_norm;  // [kv_rank]
  float eps;
  const float* q;  // [tokens, n_heads, nope_dim + 2 * n_pairs]
  int64_t nope_dim;
  float* query;  // [tokens, n_heads, kv_rank + 2 * n_pairs]: elements from kv_rank on are written
  int64_t tokens;
  int64_t n_heads;
  int64_t kv_rank;
  int64_t n_pairs;
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
};

}  // namespace tq
