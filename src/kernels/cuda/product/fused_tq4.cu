#include "kernels/cuda/product/fused_instances.cuh"

namespace tq::cuda {
template void run_fused<4>(const FusedCall&, cudaStream_t);
}  // namespace tq::cuda
