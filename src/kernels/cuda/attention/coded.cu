// Picks the kernel for attention over a cache of codes, and takes its outputs out of the rotated
// basis: by a kernel of its own, or not at all where the next product's input is rotated in the
// same groups.
#include <algorithm>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kWarps = 4;

// A warp a vector.
__global__ void __launch_bounds__(kWarps* kWarp)
    unrotate_kernel(float* out, int64_t n, int dim, const __grid_constant__ RotationMasks masks) {
  start_kernel();
  const int64_t vector = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (vector >= n) return;
  rotate_vector(out + vector * dim, dim, kv_group(dim), masks, true, threadIdx.x % kWarp);
}

}  // namespace

void unrotate_outputs(const AttentionArgs& args, cudaStream_t stream) {
  const int64_t n = args.batch.tokens * args.n_heads;
  launch("attention: basis", unrotate_kernel, {dim3(blocks_for(n, kWarps)), dim3(kWarps * kWarp)},
         stream, args.out, n, static_cast<int>(args.kv.v_dim),
         rotation_masks(kv_group(args.kv.v_dim)));
}

size_t attention_coded_bytes(const AttentionArgs& /*args*/) { return 0; }

void attention_coded(const AttentionArgs& args, const AttentionOptions& /*options*/,
                     cudaStream_t stream) {
  attention_coded_rows(args, stream);
  unrotate_outputs(args, stream);
}

Activation attention_coded_prepared(const AttentionArgs& args, const AttentionOptions& options,
                                    const PrepareArgs& next, bool exact, cudaStream_t stream) {
  attention_coded(args, options, stream);
  return prepare(next, exact, stream);
}

}  // namespace tq::cuda
