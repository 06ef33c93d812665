// Defines run_wide16 for the files that instantiate it.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/product16.h"

namespace tq::cuda {
namespace {

template <int kKind, int kGroup, bool kGated>
void launch_wide16(const Wide16Call& call, cudaStream_t stream) {
  constexpr auto kKernel = wide16_kernel<kKind, kGroup, kGated>;
  constexpr int kBytes = Wide16Shared<kKind>::kBytes;
  allow_shared<kKernel>("16-bit product: shared memory", kBytes);
  const Product16Params& p = call.params.product;
  constexpr int kRows = kTileRows * kWide16Warps / (kGated ? 2 : 1);
  launch("16-bit product", kKernel,
         {dim3(blocks_for(p.rows, kRows),
               static_cast<unsigned>(work_items(p.work, call.pairs, kWide16Tokens))),
          dim3(kWide16Warps * kWarp), kBytes},
         stream, call.params);
}

}  // namespace

template <int kKind>
void run_wide16(const Wide16Call& call, cudaStream_t stream) {
  if (call.group == 64) {
    if (call.gated) return launch_wide16<kKind, 64, true>(call, stream);
    return launch_wide16<kKind, 64, false>(call, stream);
  }
  if (call.gated) return launch_wide16<kKind, 128, true>(call, stream);
  launch_wide16<kKind, 128, false>(call, stream);
}

}  // namespace tq::cuda
