#include "kernels/cuda/product/product16_instances.cuh"

namespace tq::cuda {
template void run_product16<2>(const Product16Call&, cudaStream_t);
template void run_product16<3>(const Product16Call&, cudaStream_t);
template void run_product16<4>(const Product16Call&, cudaStream_t);
}  // namespace tq::cuda
