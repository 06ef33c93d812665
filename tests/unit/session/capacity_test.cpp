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

}  // namespace
}  // namespace tq
