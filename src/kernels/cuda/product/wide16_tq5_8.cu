#include "kernels/cuda/product/wide16_instances.cuh"

namespace tq::cuda {
template void run_wide16<5>(const Wide16Call&, cudaStream_t);
template void run_wide16<6>(const Wide16Call&, cudaStream_t);
template void run_wide16<8>(const Wide16Call&, cudaStream_t);
}  // namespace tq::cuda
