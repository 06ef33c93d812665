// The list of GPU kernels, which is a property of the build: no GPU is needed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "backend/devices.h"
#include "kernels/cuda/weight_formats.h"

namespace tq {
namespace {

using Key = std::tuple<std::string, std::string, int>;  // operator, format, group

class CudaKernelList : public ::testing::Test {
 protected:
  void SetUp() override {
    list_ = list_cuda_kernels();
    if (!list_.problem.empty()) {
      EXPECT_TRUE(list_.kernels.empty());
      EXPECT_EQ(list_.problem, list_cuda_devices().problem);  // this build has no CUDA
      GTEST_SKIP() << list_.problem;
    }
    for (const CudaKernel& kernel : list_.kernels) {
      of_[{kernel.op, kernel.format, kernel.group}].push_back(kernel);
    }
  }
  CudaKernels list_;
  std::map<Key, std::vector<CudaKernel>> of_;
};

TEST_F(CudaKernelList, EveryProductOfEveryFormatAndGroupIsThere) {
  for (const char* op : {"matmul", "matmul_experts", "matmul_heads"}) {
    for (const FormatTraits& format : all_formats()) {
      if (!cuda::has_kernels(format.id)) continue;
      for (const int group : {32, 64, 128, 256}) {
        const int listed = format.has_scales ? group : 0;
        EXPECT_TRUE(of_.contains({op, std::string(format.name), listed})) << op << format.name;
      }
    }
  }
}

TEST_F(CudaKernelList, AnyNumberOfTokensHasOneKernel) {
  for (const auto& [key, kernels] : of_) {
    std::vector<std::pair<int64_t, int64_t>> ranges;
    for (const CudaKernel& kernel : kernels) {
      if (kernel.to != 0) ranges.emplace_back(kernel.from, kernel.to);
    }
    std::sort(ranges.begin(), ranges.end());
    int64_t next = 1;
    for (const auto& [from, to] : ranges) {
      EXPECT_EQ(from, next) << std::get<0>(key) << " " << std::get<1>(key);
      next = to + 1;
    }
    EXPECT_EQ(next, 0) << "the last range has no end";
  }
}

TEST_F(CudaKernelList, TiersThatRunAllFormatsDo) {
  for (const auto& [key, kernels] : of_) {
    if (!std::get<0>(key).starts_with("matmul_e") && std::get<0>(key) != "matmul") continue;
    std::set<std::string> tiers;
    for (const CudaKernel& kernel : kernels) tiers.insert(kernel.tier);
    for (const char* tier : {"dequant", "reference"}) {
      EXPECT_TRUE(tiers.contains(tier) || tiers.contains("any")) << tier << std::get<1>(key);
    }
  }
}

}  // namespace
}  // namespace tq
