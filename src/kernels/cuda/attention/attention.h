// What the attention kernels share. Private to kernels/cuda.
#pragma once

#include <algorithm>

#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {

constexpr int kChunkKeys = 64;

struct AttentionParams {
  AttentionArgs args;
  int64_t tokens;
  int64_t n_chunks;    // of a row at most, when blocks share them; 0: a block takes all
  float* partial;      // [tokens * n_heads, n_chunks, v_dim + 2]
  uint32_t* counters;  // of tiles whose chunks have ended
};

inline float* workspace_of(const AttentionArgs& args) {
  return static_cast<float*>(args.workspace);
}

// Tiles of `rows` rows that a batch has at most for each kv head.
inline int64_t most_tiles(const AttentionArgs& args, int64_t tokens, int64_t rows) {
  const int64_t group = args.n_heads / args.kv.n_kv_heads;
  const int64_t seqs = std::min(args.batch.n_seqs, tokens);
  return (tokens * group + seqs * (rows - 1)) / rows;
}

#ifdef __CUDACC__
// Adds softmax sums over more keys to what was summed before. The factors depend on maxima only.
// Written with explicit roundings: all kernels that merge must do the same arithmetic.
struct MergeFactors {
  float max;
  float mine;
  float theirs;
};
__device__ __forceinline__ MergeFactors merge_factors(float max, float other_max) {
  const float new_max = fmaxf(max, other_max);
  if (other_max == -INFINITY) return {max, 1.0f, 0.0f};  // the other saw no key
  return {new_max, __expf(max - new_max), __expf(other_max - new_max)};
}
__device__ __forceinline__ float merge(const MergeFactors& f, float mine, float theirs) {
  return __fmaf_rn(theirs, f.theirs, __fmul_rn(mine, f.mine));
}
#endif

// 16-bit caches, on tensor cores.
bool supports_mma(const KvLayerView& kv);
int64_t mma_shared_bytes(const KvLayerView& kv);  // that a block needs at least
void attention_mma(const AttentionParams& p, cudaStream_t stream);
// What blocks leave that share a row's keys. It is merged by merge_parts(), or by the rotation of
// the next product's input.
struct AttentionParts {
  int n = 0;  // of each row's keys
  int v_dim = 0;
  float* values = nullptr;  // [tokens * n_heads, n, v_dim], not yet divided by the sums
  float2* stats = nullptr;  // [tokens * n_heads, n]: largest score, sum of weights
};
constexpr int kMostParts = 64;
// Their room for `rows` rows, and where they lie in it.
inline int64_t attention_parts_bytes(const AttentionArgs& args, int64_t rows, int64_t parts) {
  return rows * parts * (args.kv.v_dim + 2) * static_cast<int64_t>(sizeof(float));
}
inline AttentionParts parts_in(float* workspace, const AttentionArgs& args, int64_t tokens,
                               int64_t n) {
  return {static_cast<int>(n), static_cast<int>(args.kv.v_dim), workspace,
          reinterpret_cast<float2*>(workspace + tokens * args.n_heads * n * args.kv.v_dim)};
}
// parts of args' outputs to args.out.
void merge_parts(const AttentionParts& parts, const AttentionArgs& args, int64_t tokens,
                 cudaStream_t stream);

// One query a sequence over 16-bit caches.
// Where queries, keys and values come from when the kernel makes them of projections itself.
struct ProjectedInputs {
  enum class Kind : uint8_t { kNone, kHeads, kLatent } kind = Kind::kNone;
  AttentionInputsArgs heads;
  LatentInputsArgs latent;
};
bool supports_decode(const AttentionArgs& args);
size_t attention_decode_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len);
AttentionParts attention_decode(const AttentionArgs& args, const ProjectedInputs& inputs,
                                cudaStream_t stream);
// The same where there are many keys, up to max_kv_len of a sequence.
bool supports_deep(const AttentionArgs& args, int64_t max_kv_len);
bool fits_deep(const KvLayerView& kv);  // this GPU's shared memory
size_t attention_deep_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len);
AttentionParts attention_deep(const AttentionArgs& args, const ProjectedInputs& inputs,
                              cudaStream_t stream);
// Prompts over f16 caches: faster, with queries and weights rounded to f16. No parts: outputs are
// in args.out.
bool supports_prompt(const AttentionArgs& args);
bool fits_prompt(const KvLayerView& kv);  // this GPU's shared memory
size_t attention_prompt_bytes(const AttentionArgs& args);
AttentionParts attention_prompt(const AttentionArgs& args, cudaStream_t stream);
// prepare() of what merge_parts() would write (inputs.cu).
Activation prepare_parts(const AttentionParts& parts, const PrepareArgs& args, cudaStream_t stream);
// The same of parts whose groups of args.group are rotated as prepare() does.
Activation prepare_rotated_parts(const AttentionParts& parts, const PrepareArgs& args,
                                 cudaStream_t stream);
// The same of rows args.x.
Activation prepare_rotated(const PrepareArgs& args, cudaStream_t stream);
// Any cache whose vectors are multiples of 16 bytes.
bool supports_lanes(const KvLayerView& kv);
void attention_lanes(const AttentionParams& p, cudaStream_t stream);
// For heads that no fast kernel takes: any size.
void attention_reference(const AttentionParams& p, cudaStream_t stream);

// Keys that a query of sequences of so many looks at, at most.
inline int64_t attended_keys(const AttentionArgs& args, int64_t max_kv_len) {
  return args.window > 0 ? std::min(args.window, max_kv_len) : max_kv_len;
}

}  // namespace tq::cuda
