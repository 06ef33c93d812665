// The choice of a kernel table, and that tables are complete.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "kernels/cpu/kernels.h"
#include "support/expect_error.h"
#include "testing.h"

namespace tq {
namespace {

TEST(SelectKernels, TakesTheBestUnlessForced) {
  EXPECT_EQ(&select_kernels(""), &available_kernels().back());
  EXPECT_EQ(available_kernels().front().name, "generic");
  for (const CpuKernels& kernels : available_kernels()) {
    EXPECT_EQ(&select_kernels(std::string(kernels.name)), &kernels);
  }
}

TEST(SelectKernels, NamesWhatThereIs) {
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"TQ_FORCE_ISA=mmx", "generic"},
                         [] { (void)select_kernels("mmx"); });
}

TEST(SelectKernels, ReadsTheEnvironment) {
  ASSERT_EQ(::setenv("TQ_FORCE_ISA", "sse9", 1), 0);
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"sse9"}, [] { (void)select_kernels(); });
  ASSERT_EQ(::unsetenv("TQ_FORCE_ISA"), 0);
  EXPECT_EQ(&select_kernels(), &available_kernels().back());
  ASSERT_EQ(::setenv("TQ_FORCE_ISA", "generic", 1), 0);
  EXPECT_EQ(select_kernels().name, "generic");
  ASSERT_EQ(::unsetenv("TQ_FORCE_ISA"), 0);
}

class Kernels : public fixtures::IsaTest {};

TEST_P(Kernels, FillEverySlot) {
  const CpuKernels& kernels = *GetParam();
  for (const FormatTraits& format : all_formats()) {
    const auto id = static_cast<size_t>(format.id);
    EXPECT_NE(kernels.matmul_f32[id], nullptr) << format.name;
    EXPECT_NE(kernels.embed[id], nullptr) << format.name;
    EXPECT_EQ(kernels.matmul_i8[id] != nullptr, format.input == InputForm::kRotated) << format.name;
  }
  for (const auto kernel : kernels.kv_store) EXPECT_NE(kernel, nullptr);
  for (const auto kernel : kernels.attention) EXPECT_NE(kernel, nullptr);
  for (const auto kernel : kernels.glu) EXPECT_NE(kernel, nullptr);
  EXPECT_NE(kernels.rotate, nullptr);
  EXPECT_NE(kernels.rotate_quantize, nullptr);
  EXPECT_NE(kernels.rms_norm, nullptr);
  EXPECT_NE(kernels.rope_table, nullptr);
  EXPECT_NE(kernels.rope, nullptr);
  EXPECT_NE(kernels.scale_by_position, nullptr);
  EXPECT_NE(kernels.glu_clamped, nullptr);
  EXPECT_NE(kernels.add_expert_bias, nullptr);
  EXPECT_NE(kernels.add, nullptr);
  EXPECT_NE(kernels.softcap, nullptr);
  EXPECT_NE(kernels.route, nullptr);
  EXPECT_NE(kernels.combine, nullptr);
  EXPECT_NE(kernels.gather_rows, nullptr);
  EXPECT_NE(kernels.sigmoid_gate, nullptr);
  EXPECT_NE(kernels.gated_norm, nullptr);
  EXPECT_NE(kernels.short_conv, nullptr);
  EXPECT_NE(kernels.delta_rule, nullptr);
}

INSTANTIATE_TEST_SUITE_P(All, Kernels, ::testing::ValuesIn(fixtures::all_isas()),
                         fixtures::isa_name);

}  // namespace
}  // namespace tq
