// Defines run_fused for the file that instantiates it.
#pragma once

#include <algorithm>

#include "kernels/cuda/device/wide.cuh"
#include "kernels/cuda/product/fused.h"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

// Tiles that keep every warp of the GPU busy without cutting rows.
constexpr int64_t kManyTiles = 2112;

// Slices that a row's inputs are cut into among warps.
inline int slices_for(const FusedParams& p, int64_t items, int warp_tiles) {
  return items * p.n_tiles / warp_tiles >= kManyTiles ? 1 : p.n_segments;
}

// Launches the kernel for blocks of up to 8 * kTokenTiles tokens; false if this GPU's blocks have
// not the shared memory that it needs.
template <int kKind, int kGroup, int kTokenTiles, int kTiles, bool kGated, int kStages,
          bool kPrepares = false>
bool launch_fused(const FusedCall& call, cudaStream_t stream) {
  constexpr int kWarpTiles = kGated ? 1 : kTiles;
  constexpr int kMaxTokens = 8 * kTokenTiles;
  FusedParams p = call.params;
  const int64_t items = work_items(p.work, call.pairs, kMaxTokens);
  p.n_slices = slices_for(p, items, kWarpTiles);
  constexpr auto kKernel =
      fused_kernel<kKind, kGroup, kTokenTiles, kTiles, kGated, kPrepares, kStages>;
  const int64_t weights = int64_t{kStages} * kFusedWarps * kTiles * stage_bytes<kKind, kGroup>();
  p.resident_rows = std::min(p.resident_rows, kMaxTokens);
  using Product = TileProduct<kKind, kGroup, kTokenTiles, kTiles>;
  const int64_t x =
      kTokenTiles <= kResidentTiles
          ? resident_bytes(kGroup, p.resident_rows, Product::kStoredTerms, p.in_padded)
          : int64_t{kStages} * p.n_slices * x_stage_bytes(kGroup, kTokenTiles);
  const int64_t sums = int64_t{kFusedWarps} * kTiles * kTokenTiles * 4 * kWarp * 4;
  const int64_t shared = std::max(weights + x, sums);
  constexpr int kStatic = 1024;
  const int most = device_info().max_shared_bytes - kStatic;
  if (shared > most) return false;
  allow_shared<kKernel>("fused product: shared memory", most);
  launch("fused product", kKernel,
         {dim3(blocks_for(p.n_tiles, kFusedWarps / p.n_slices * kWarpTiles),
               static_cast<unsigned>(items)),
          dim3(kFusedWarps * kWarp), static_cast<size_t>(shared)},
         stream, p);
  return true;
}

// Blocks that a product with tiles of 8 * token_tiles tokens and two row tiles a warp makes.
template <bool kGated>
int64_t fused_blocks(const FusedParams& p, int64_t token_tiles) {
  constexpr int kWarpTiles = kGated ? 1 : 2;
  const int64_t items = work_items(p.work, 0, 8 * token_tiles);
  return blocks_for(p.n_tiles, kFusedWarps / slices_for(p, items, kWarpTiles) * kWarpTiles) * items;
}

// Whether blocks of 128 rows and 128 tokens pay: of experts with many tokens, and of matrices that
// are cut into as many of them as keep the GPU busy.
template <bool kGated>
bool suits_wide(const FusedCall& call) {
  constexpr int64_t kManyOfExpert = 48;
  const FusedParams& p = call.params;
  if (p.work.kind == WorkKind::kExperts) return call.tokens_each > kManyOfExpert;
  const int64_t blocks =
      blocks_for(p.n_tiles, kWideTiles<kGated>) * work_items(p.work, call.pairs, kWideTokens);
  return call.tokens_each > kWideTokens && 5 * blocks > 2 * device_info().n_sms;
}

// False if this GPU has not what the wide kernel needs.
template <int kKind, int kGroup, bool kGated>
bool launch_wide([[maybe_unused]] const FusedCall& call, [[maybe_unused]] cudaStream_t stream) {
#if defined(TQ_CUDA_SM90A)
  if (!device_info().sm90a) return false;
  constexpr int kBytes = WideShared<kKind, kGroup>::kBytes;
  if (kBytes > device_info().max_shared_bytes) return false;
  constexpr auto kKernel = wide_kernel<kKind, kGroup, kGated>;
  allow_shared<kKernel>("fused product: shared memory", kBytes);
  const int64_t items = work_items(call.params.work, call.pairs, kWideTokens);
  launch("fused product", kKernel,
         {dim3(blocks_for(call.params.n_tiles, kWideTiles<kGated>), static_cast<unsigned>(items)),
          dim3(kFusedWarps * kWarp), static_cast<size_t>(kBytes)},
         stream, call.params);
  return true;
#else
  return false;
#endif
}

// Two tiles a warp share each fragment of activations: better where those are many.
template <int kKind, int kGroup, bool kGated>
void pick_tokens(const FusedCall& call, cudaStream_t stream) {
  constexpr int kFew = kGated ? 2 : 1;
  constexpr int kStages = kGated ? 3 : 4;
  const bool experts = call.params.work.kind == WorkKind::kExperts;
  const int64_t many = experts ? 24 : 32;  // some experts have many more than the mean
  int64_t tokens = call.tokens_each;
  if (!experts && tokens > many && fused_blocks<kGated>(call.params, 8) < device_info().n_sms / 2) {
    tokens = many;  // smaller tiles keep more of the GPU busy
  }
  if constexpr (!kGated) {
    if (call.params.source != nullptr) {
      if (launch_fused<kKind, kGroup, 1, kFew, kGated, kStages, true>(call, stream)) return;
      fail_call("a product that prepares rows which do not fit into shared memory");
    }
  }
  if (suits_wide<kGated>(call) && launch_wide<kKind, kGroup, kGated>(call, stream)) return;
  if (tokens > many && launch_fused<kKind, kGroup, 8, 2, kGated, 3>(call, stream)) return;
  if (tokens > many && launch_fused<kKind, kGroup, 8, 2, kGated, 2>(call, stream)) return;
  if (tokens > 16 && launch_fused<kKind, kGroup, 4, 2, kGated, 3>(call, stream)) return;
  if (tokens > 8) {
    if (work_items(call.params.work, call.pairs, 16) * call.params.n_tiles >= 2 * kManyTiles &&
        launch_fused<kKind, kGroup, 2, 2, kGated, 4>(call, stream)) {
      return;
    }
    if (launch_fused<kKind, kGroup, 2, kFew, kGated, 4>(call, stream)) return;
  }
  if (launch_fused<kKind, kGroup, 1, kFew, kGated, kStages>(call, stream)) return;
  if (launch_fused<kKind, kGroup, 4, 2, kGated, 2>(call, stream)) return;
  fail_call("a fused product that needs more shared memory than this GPU has");
}

}  // namespace

template <int kKind>
void run_fused(const FusedCall& call, cudaStream_t stream) {
  if (call.group == 64) {
    if (call.gated) return pick_tokens<kKind, 64, true>(call, stream);
    return pick_tokens<kKind, 64, false>(call, stream);
  }
  if (call.gated) return pick_tokens<kKind, 128, true>(call, stream);
  pick_tokens<kKind, 128, false>(call, stream);
}

}  // namespace tq::cuda
