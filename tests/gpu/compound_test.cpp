// The CUDA backend's compound operators, as the backend chooses their kernels, against their parts
// on the same GPU.
#include "unit/backend/compound_checks.h"

namespace tq {
namespace {

class GpuCompound : public ::testing::TestWithParam<fixtures::CompoundParam> {};

// Fused kernels round sums in another order, after which an int8 number may be the next one.
TEST_P(GpuCompound, EqualsItsParts) {
  const auto& [check, exact] = GetParam();
  const auto backend = make_cuda_backend({.exact = exact});
  fixtures::run_check(check, *backend, exact ? 1e-5 : 5e-3);
}

INSTANTIATE_TEST_SUITE_P(Operators, GpuCompound, fixtures::all_compound_params(),
                         fixtures::compound_name);

}  // namespace
}  // namespace tq
