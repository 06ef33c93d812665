#include "base/cpu_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace tq {
namespace {

TEST(CpuFeatures, GenericIsAlwaysThereAndTheBestComesLast) {
  const auto isas = available_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::kGeneric);
  for (size_t i = 1; i < isas.size(); ++i) EXPECT_LT(isas[i - 1], isas[i]);
  EXPECT_EQ(select_isa(""), isas.back());
}

TEST(CpuFeatures, EveryOneCanBeForcedByItsName) {
  for (const Isa isa : available_isas()) EXPECT_EQ(select_isa(std::string(isa_name(isa))), isa);
}

TEST(CpuFeatures, OtherNamesAreRefusedWithTheNamesThereAre) {
  for (const std::string name : {"sse9", has_avx_vnni() ? "avx9" : "avxvnni"}) {
    try {
      select_isa(name);
      ADD_FAILURE() << name << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::HasSubstr(name));
      EXPECT_THAT(error.what(), ::testing::HasSubstr("generic"));
    }
  }
}

}  // namespace
}  // namespace tq
