#include "kernels/cuda/product/wide16_instances.cuh"

namespace tq::cuda {
template void run_wide16<2>(const Wide16Call&, cudaStream_t);
template void run_wide16<3>(const Wide16Call&, cudaStream_t);
template void run_wide16<4>(const Wide16Call&, cudaStream_t);
}  // namespace tq::cuda
