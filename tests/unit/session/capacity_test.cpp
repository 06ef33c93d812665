#include "session/capacity.h"

#include <gtest/gtest.h>

#include "model/summary.h"

namespace tq {
namespace {

TEST(Capacity, OfAFullSizeModel) {
  const auto checkpoint = open_checkpoint("synth:gemma-4-26B-A4B");
  const Capacity capacity(*checkpoint, {});
  const MemoryPlan plan = capacity.plan(0);
  EXPECT_EQ(plan.context, 262144);
  EXPECT_EQ(plan.sequences, 1);
  EXPECT_EQ(plan.kv_bytes, summarize(*checkpoint).kv_bytes(262144, KvOptions{}));
  EXPECT_GT(plan.weight_bytes, 50'000'000'000);
  EXPECT_EQ(capacity.needed_bytes(0), plan.total_bytes() + Capacity::kReserveBytes);
}

TEST(Capacity, LongestContexts) {
  const auto checkpoint = open_checkpoint("synth:smollm2-135m");
  LoadOptions options;
  options.format_for = [](const TensorEntry& entry) { return entry.shape.size() > 1 ? "tq4" : ""; };
  const Capacity capacity(*checkpoint, options);
  EXPECT_LT(capacity.plan(0).weight_bytes, 100'000'000);
  EXPECT_EQ(capacity.longest_context(capacity.needed_bytes(0)), 8192);
  EXPECT_EQ(capacity.longest_context(capacity.needed_bytes(0) - 1), 8192 - 256);
  EXPECT_EQ(capacity.longest_context(capacity.needed_bytes(512)), 512);
  EXPECT_EQ(capacity.longest_context(capacity.needed_bytes(256) - 1), 0);
  EXPECT_EQ(capacity.longest_context(1), 0);
}

// Keys and values of a conversation are what one more takes.
TEST(Capacity, Conversations) {
  const auto checkpoint = open_checkpoint("synth:qwen3-30B-A3B");
  LoadOptions options;
  options.format_for = [](const TensorEntry& entry) { return entry.shape.size() > 1 ? "tq3" : ""; };
  const int64_t memory = int64_t{24} << 30;
  const Capacity numbers(*checkpoint, options);
  const int64_t n = numbers.most_sequences(memory, 4096);
  // 48 layers of 4 heads, 512 bytes a head and token: 403 MB each.
  EXPECT_NEAR(
      static_cast<double>(n),
      static_cast<double>(memory - numbers.needed_bytes(4096)) / (48 * 4 * 512 * 4096.0) + 1, 1.01);
  EXPECT_EQ(numbers.most_sequences(1, 4096), 0);
  options.kv.format = find_kv_format("k4v3")->id;
  const Capacity codes(*checkpoint, options);
  const int64_t n_codes = codes.most_sequences(memory, 4096);
  // 116 bytes instead of 512, and near pages of 11 times 16 tokens beside 4,096.
  EXPECT_GT(n_codes, 35 * n / 10);
  EXPECT_LT(n_codes, 45 * n / 10);
}

}  // namespace
}  // namespace tq
