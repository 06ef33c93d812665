// The CPU backend's compound operators against their parts, with every instruction set and both
// forms of activations.
#include <cstdlib>
#include <string>

#include "kernels/cpu/kernels.h"
#include "unit/backend/compound_checks.h"

namespace tq {
namespace {

class CpuCompound : public ::testing::TestWithParam<fixtures::CompoundParam> {};

TEST_P(CpuCompound, EqualsItsParts) {
  const auto& [check, exact] = GetParam();
  const char* before = std::getenv("TQ_FORCE_ISA");
  const std::string restored = before != nullptr ? before : "";
  for (const CpuKernels& kernels : available_kernels()) {
    SCOPED_TRACE(kernels.name);
    ASSERT_EQ(::setenv("TQ_FORCE_ISA", std::string(kernels.name).c_str(), 1), 0);
    const auto backend = make_cpu_backend({.threads = 2, .exact = exact});
    ASSERT_EQ(::setenv("TQ_FORCE_ISA", restored.c_str(), 1), 0);
    fixtures::run_check(check, *backend, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Operators, CpuCompound, fixtures::all_compound_params(),
                         fixtures::compound_name);

}  // namespace
}  // namespace tq
