// Picks the kernel for attention over a cache of codes, and takes its outputs out of the rotated
// basis: when parts are merged, or not at all where the next product's input is rotated in the
// same groups.
#include <algorithm>

#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/attention/coded_decode.h"
#include "kernels/cuda/attention/coded_prompt.h"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kWarps = 4;

// A warp a group.
template <int kGroup>
__global__ void __launch_bounds__(kWarps* kWarp)
    finish_kernel(const AttentionParts parts, float* out, int64_t n,
                  const __grid_constant__ RotationMasks masks) {
  start_kernel();
  const int64_t number = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (number >= n) return;
  const int lane = threadIdx.x % kWarp;
  RotatedGroup<kGroup> group;
  const int64_t first = number * kGroup + lane * group.kPerLane;
  if (parts.n > 0) {
    merge_parts(parts, first, group.x);
  } else {
#pragma unroll
    for (int k = 0; k < group.kPerLane; ++k) group.x[k] = out[first + k];
  }
  group.rotate(masks.d2, masks.d1, masks.scale, lane);
#pragma unroll
  for (int k = 0; k < group.kPerLane; ++k) out[first + k] = group.x[k];
}

template <int kGroup>
void launch_finish(const AttentionParts& parts, const AttentionArgs& args, cudaStream_t stream) {
  const int64_t n = args.batch.tokens * args.n_heads * (args.kv.v_dim / kGroup);
  launch("attention: basis", finish_kernel<kGroup>,
         {dim3(blocks_for(n, kWarps)), dim3(kWarps * kWarp)}, stream, parts, args.out, n,
         rotation_masks(kGroup));
}

bool picks_decode(const AttentionArgs& args, const AttentionOptions& options) {
  const int64_t seqs = args.batch.n_seqs;
  return seqs == args.batch.tokens && seqs <= options.decode_up_to && supports_coded_decode(args) &&
         fits_coded_decode(args);
}

// Leaves parts, or whole outputs in args.out; both in the rotated basis.
AttentionParts run_coded(const AttentionArgs& args, const AttentionOptions& options,
                         cudaStream_t stream) {
  if (picks_decode(args, options)) return attention_coded_decode(args, stream);
  if (options.fast_prompts && takes_coded_prompt(args)) return attention_coded_prompt(args, stream);
  attention_coded_rows(args, stream);
  return {};
}

// Merges parts, which are in the rotated basis, to args.out in the plain one. No parts: args.out
// itself is rotated back, in place.
void finish_outputs(const AttentionParts& parts, const AttentionArgs& args, cudaStream_t stream) {
  const int group = kv_group(args.kv.v_dim);
  if (group == 128) return launch_finish<128>(parts, args, stream);
  if (group == 64) return launch_finish<64>(parts, args, stream);
  launch_finish<32>(parts, args, stream);
}

}  // namespace

size_t attention_coded_bytes(const AttentionArgs& args) {
  const int64_t seqs = std::min({args.batch.n_seqs, args.batch.tokens, kMostDecodeSeqs});
  return std::max(coded_decode_bytes(args, seqs, args.batch.max_kv_len), coded_prompt_bytes(args));
}

void attention_coded(const AttentionArgs& args, const AttentionOptions& options,
                     cudaStream_t stream) {
  finish_outputs(run_coded(args, options, stream), args, stream);
}

Activation attention_coded_prepared(const AttentionArgs& args, const AttentionOptions& options,
                                    const PrepareArgs& next, bool exact, cudaStream_t stream) {
  const AttentionParts parts = run_coded(args, options, stream);
  if (!exact && next.form == InputForm::kRotated && next.group == kv_group(args.kv.v_dim)) {
    return parts.n > 0 ? prepare_rotated_parts(parts, next, stream) : prepare_rotated(next, stream);
  }
  finish_outputs(parts, args, stream);
  return prepare(next, exact, stream);
}

}  // namespace tq::cuda
