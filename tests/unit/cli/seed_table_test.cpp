#include "cli/seed_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace tq {
namespace {

TEST(SeedTable, FindsTheDeviceInBothForms) {
  const auto device = [](const std::vector<std::string>& words) { return device_of(words); };
  EXPECT_EQ(device({}), "auto");
  EXPECT_EQ(device({"--threads", "1"}), "auto");
  EXPECT_EQ(device({"--device", "cpu", "--threads", "1"}), "cpu");
  EXPECT_EQ(device({"--threads", "1", "--device=cpu"}), "cpu");
  EXPECT_EQ(device({"--device=cuda:1", "--device", "cpu"}), "cpu");
  EXPECT_EQ(device({"--device", "cpu", "--device=cuda:1"}), "cuda:1");
  EXPECT_EQ(device({"--devices=cpu", "--device"}), "auto");
}

}  // namespace
}  // namespace tq
