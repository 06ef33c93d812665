// Prompts over caches of codes (device/coded_prompt.cuh). Private to kernels/cuda.
#pragma once

#include "kernels/cuda/attention/coded.h"

namespace tq::cuda {

// Whether it takes such heads, without a bias of the keys, and fits this GPU's shared memory.
bool takes_coded_prompt(const AttentionArgs& args);
size_t coded_prompt_bytes(const AttentionArgs& args);
// In the rotated basis. No parts: outputs are in args.out.
AttentionParts attention_coded_prompt(const AttentionArgs& args, cudaStream_t stream);

// An instance's block, for heads of args.kv.k_dim; rows 0: there is none.
struct CodedPromptBlock {
  int64_t rows = 0;  // of a tile
  int64_t shared_bytes = 0;
  int64_t of_sm = 1;  // blocks
};

#ifdef __CUDACC__
// One source for each format, generated: TqCuda.cmake.
template <typename Format>
void run_coded_prompt(const AttentionArgs& args, const AttentionParts& parts, cudaStream_t stream);
template <typename Format>
CodedPromptBlock coded_prompt_block(int64_t dim);
#endif

}  // namespace tq::cuda
