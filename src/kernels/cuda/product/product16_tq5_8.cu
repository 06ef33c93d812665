#include "kernels/cuda/product/product16_instances.cuh"

namespace tq::cuda {
template void run_product16<5>(const Product16Call&, cudaStream_t);
template void run_product16<6>(const Product16Call&, cudaStream_t);
template void run_product16<8>(const Product16Call&, cudaStream_t);
}  // namespace tq::cuda
