// The operators' arguments: one struct of plain data for each, shared by every backend and by the
// kernels that run it. Pointers are device pointers, matrices are dense row-major, activations
// fp32. Plain data; owns nothing.
#pragma once

#include <cstdint>

#include "format/traits.h"

namespace tq {

// An activation in the form a matmul reads: made once by Backend::prepare, shared by q, k and v or
// by gate and up. Exactly one of the representations is set, as the backend chose.
struct Activation {
  InputForm form = InputForm::kPlain;
  int64_t tokens = 0;
  int64_t in = 0;
  int64_t in_padded = 0;            // row stride in elements
  int group = 0;                    // rotation group; 0 for plain
  const float* f32 = nullptr;       // [tokens, in_padded]
  const int8_t* q8 = nullptr;       // [tokens, in_padded] with
  const float* q8_scale = nullptr;  // [tokens, in_padded / group]
};

struct PrepareArgs {
  const float* x;  // [tokens, in]
  int64_t tokens;
  int64_t in;
  int64_t in_padded;  // rotated rows are zero-padded to this before the rotation
  int group;
  InputForm form;
  void* storage;  // activation_bytes(...) of scratch; unused for kPlain
};

struct EmbedArgs {
  WeightView table;    // [vocab, hidden]
  const int32_t* ids;  // [tokens], all in [0, vocab)
  int64_t tokens;
  float scale;
  float* out;  // [tokens, hidden]
};

// out[t, r] = sum_i x[t, i] * W[r, i] (+ bias[r]) (+ out[t, r] if accumulate)
struct MatmulArgs {
  WeightView weight;  // experts == 1
  Activation x;
  const float* bias = nullptr;  // [rows] or null
  bool accumulate = false;
  float* out;  // [tokens, rows]
};

// out[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + eps) * weight, statistics in fp32 or better.
struct RmsNormArgs {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim] or null for 1; any "1 + w" is folded in at load
  float eps;
  int64_t rows;
  int64_t dim;
  float* out;  // may equal x
};

// cos/sin of position * inv_freq, computed in double, once a forward pass for each distinct rope.
struct RopeTableArgs {
  const int32_t* positions;  // [tokens]
  const float* inv_freq;     // [n_pairs]; 0 leaves a pair unrotated
  int64_t tokens;
  int64_t n_pairs;
  float* cos;  // [tokens, n_pairs]
  float* sin;
};

// Rotates in place the first 2 * n_pairs dims of each head: pairs (j, j + n_pairs), or (2j, 2j + 1)
// if interleaved.
struct RopeArgs {
  float* x;  // [tokens, heads, head_dim], tokens apart by token_stride elements
  int64_t tokens;
  int64_t heads;
  int64_t head_dim;
  int64_t token_stride;
  int64_t n_pairs;
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
};

enum class KvDType : uint8_t { kF32, kF16, kBF16 };

constexpr int kKvBlockTokens = 16;

// One layer's pages: keys [n_blocks, n_kv_heads, 16, k_dim], values [n_blocks, n_kv_heads, 16,
// v_dim].
struct KvLayerView {
  KvDType dtype = KvDType::kF16;
  int64_t n_blocks = 0;
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  void* k = nullptr;
  void* v = nullptr;
};

// Writes each token's key and value to its slot (block * 16 + offset).
struct KvStoreArgs {
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
  const float* k;  // [tokens, n_kv_heads, k_dim]
  const float* v;  // [tokens, n_kv_heads, v_dim]
};

// The ragged batch as attention sees it: sequence s owns tokens [q_begin[s], q_begin[s+1]), the
// last of which is position kv_len[s] - 1; its pages are block_tables[s * max_blocks ...].
struct RaggedBatch {
  int64_t n_seqs;
  const int32_t* q_begin;  // [n_seqs + 1]
  const int32_t* kv_len;   // [n_seqs], this step's tokens included
  const int32_t* block_tables;
  int64_t max_blocks;
};

// Causal attention; softmax in fp32. Query head h reads kv head h / (n_heads / n_kv_heads). With a
// window w > 0 a query at t sees keys in (t - w, t]. Scores are scaled, then capped: cap * tanh(s /
// cap).
struct AttentionArgs {
  KvLayerView kv;
  RaggedBatch batch;
  const float* q;  // [tokens, n_heads, k_dim]
  int64_t n_heads;
  float scale;
  int64_t window;  // 0: none
  float softcap;   // 0: none
  float* out;      // [tokens, n_heads, v_dim]
};

enum class Activate : uint8_t { kSilu, kGeluTanh, kGelu };

// out = activate(gate) * up, elementwise.
struct GluArgs {
  Activate activate;
  const float* gate;  // [tokens, width]
  const float* up;
  int64_t n;   // tokens * width
  float* out;  // may equal gate or up
};

// out = (a + b) * scale.
struct AddArgs {
  const float* a;
  const float* b;
  float scale = 1;
  int64_t n;
  float* out;  // may equal a or b
};

// x = cap * tanh(x / cap), in place.
struct SoftcapArgs {
  float* x;
  int64_t n;
  float cap;
};

// out[i, :] = x[rows[i], :]
struct GatherRowsArgs {
  const float* x;
  const int32_t* rows;  // [n]
  int64_t n;
  int64_t dim;
  float* out;
};

}  // namespace tq
