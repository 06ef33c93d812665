#include "kernels/cuda/product/product16_instances.cuh"

namespace tq::cuda {
template void run_product16<0>(const Product16Call&, cudaStream_t);
}  // namespace tq::cuda
