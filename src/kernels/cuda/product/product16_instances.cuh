// Defines run_product16 for the files that instantiate it.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/product16.h"

namespace tq::cuda {
namespace {

template <typename T, int kKind, int kTokens>
void launch_product16(const Product16Call& call, cudaStream_t stream) {
  constexpr auto kKernel = product16_kernel<T, kKind, kTokens>;
  constexpr int kShared = product_shared_bytes<kKind, kTokens>();
  allow_shared<kKernel>("16-bit product: shared memory", kShared);
  const Product16Params& p = call.params;
  launch("16-bit product", kKernel,
         {dim3(blocks_for(p.rows, kProductRows),
               static_cast<unsigned>(work_items(p.work, call.pairs, kTokens))),
          dim3(kProductWarps * kWarp), kShared},
         stream, p);
}

template <typename T, int kKind>
void pick_tokens(const Product16Call& call, cudaStream_t stream) {
  if (call.tokens_each > 64) return launch_product16<T, kKind, 128>(call, stream);
  launch_product16<T, kKind, 64>(call, stream);
}

}  // namespace

template <int kKind>
void run_product16(const Product16Call& call, cudaStream_t stream) {
  if constexpr (kKind == 0) {
    if (call.type == Number16::kBF16) return pick_tokens<__nv_bfloat16, 0>(call, stream);
  }
  pick_tokens<__half, kKind>(call, stream);
}

}  // namespace tq::cuda
