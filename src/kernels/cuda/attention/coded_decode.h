// Decode steps over caches of codes (device/coded_decode.cuh). Private to kernels/cuda.
#pragma once

#include "format/kv_formats.h"
#include "kernels/cuda/attention/coded.h"

namespace tq::cuda {

// Whether it takes heads of that size.
bool supports_coded_decode(const AttentionArgs& args);
bool fits_coded_decode(const AttentionArgs& args);  // this GPU's shared memory
size_t coded_decode_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len);
// Parts are in the rotated basis.
AttentionParts attention_coded_decode(const AttentionArgs& args, cudaStream_t stream);

constexpr int kCodedWarps = 16;  // of a block at most

// How a step is cut into blocks.
struct CodedShape {
  int64_t warps = 0;  // of a block
  int64_t shared_bytes = 0;
  int64_t row_tiles = 0;  // blocks of 8 heads of a kv head's group
  int64_t shares = 1;     // blocks that share the keys of all sequences, for each of these
  int64_t parts = 1;      // of a row's keys at most
};

#ifdef __CUDACC__
struct CodedDecodeCall {
  const AttentionArgs& args;
  const AttentionParts& parts;
  const CodedShape& shape;
};
// One source for each format, generated: TqCuda.cmake.
template <typename Format>
void run_coded_decode(const CodedDecodeCall& call, cudaStream_t stream);
// Of a block of `warps` warps, for heads of `dim`; 0: there is no instance.
template <typename Format>
int64_t coded_decode_block_bytes(int64_t dim, int64_t warps, int64_t n_factors);
#endif

}  // namespace tq::cuda
