#include "session/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/refusing_backend.h"
#include "engine/model_limits.h"
#include "kv/kv_cache.h"
#include "support/expect_error.h"
#include "support/kv_formats.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::HasSubstr;

// A model of 512 tokens on the CPU, which may have as much memory as a test says.
class MemoryPlanTest : public ::testing::Test {
 protected:
  MemoryPlanner planner(int64_t limit_bytes) const {
    return {*checkpoint_, *backend_, options_, limit_bytes};
  }
  int64_t bytes_for(int64_t context) const { return planner(0).plan(context).total_bytes(); }
  // Without the weights that are mapped.
  int64_t needed_for(int64_t context) const {
    const MemoryPlan plan = planner(0).plan(context);
    return plan.total_bytes() - plan.mapped_bytes;
  }

  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(TQ_TEST_DATA "/golden/models/llama");
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 1});
  LoadOptions options_{.max_batch_tokens = 256, .max_logit_rows = 3, .max_sequences = 3};
};

TEST_F(MemoryPlanTest, CountsWhatIsLoaded) {
  const MemoryPlan plan = planner(0).plan(500);
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(plan.context, 500);
  EXPECT_EQ(plan.max_context, 512);
  EXPECT_EQ(plan.sequences, 3);
  options_.max_context = 500;
  const auto model = Model::load(*checkpoint_, *backend_, options_);
  EXPECT_EQ(plan.weight_bytes, model->weight_bytes());
  const KvLayout layout = model->kv_layout();
  const KvCache kv(*backend_, layout, fixtures::kKvF16, layout.pages_of(3, 3 * 32));
  EXPECT_EQ(plan.kv_bytes, kv.size_bytes());
  EXPECT_EQ(plan.total_bytes(),
            plan.in_use_bytes + plan.weight_bytes + plan.scratch_bytes + plan.kv_bytes);
}

TEST_F(MemoryPlanTest, TheLongestContextThatFits) {
  const int64_t half = bytes_for(256);
  const int64_t whole = bytes_for(512);
  ASSERT_LT(half, whole);
  EXPECT_EQ(planner(0).longest_context(0), 512);
  EXPECT_EQ(planner(whole).longest_context(0), 512);
  EXPECT_EQ(planner(whole).longest_context(300), 300);
  EXPECT_EQ(planner(whole - 1).longest_context(0), 256);
  EXPECT_EQ(planner(half).longest_context(0), 256);
  EXPECT_EQ(planner(half - 1).longest_context(0), 0);
}

TEST_F(MemoryPlanTest, SharedPagesTakeWhatThereIs) {
  const auto shared = [&](int64_t limit) { return planner(limit).with_shared_pages(); };
  const MemoryPlan all = shared(0).plan(512);
  EXPECT_EQ(all.n_pages, 3 * 32);
  EXPECT_EQ(all.total_bytes(), bytes_for(512));
  // Less than all: as many pages as fit, and one context at least.
  const MemoryPlan some = shared(bytes_for(512) - 1).plan(512);
  EXPECT_TRUE(some.fits());
  EXPECT_LT(some.n_pages, 3 * 32);
  EXPECT_GE(some.n_pages, 3 * 31);
  EXPECT_THAT(some.text(), HasSubstr("for 3 at a time, 512 each at most"));
  EXPECT_EQ(shared(bytes_for(256)).longest_context(0), 512) << "three of 256 are one of 512";
  const MemoryPlan none = shared(1).plan(512);
  EXPECT_EQ(none.n_pages, 32);
  EXPECT_FALSE(none.fits());
  EXPECT_FALSE(planner(0).plan(512).shares_pages);
}

TEST_F(MemoryPlanTest, SaysWhatWouldFit) {
  const int64_t limit = needed_for(512) - 1;
  const MemoryPlanner short_of_one = planner(limit);
  const MemoryPlan plan = short_of_one.plan(512);
  EXPECT_FALSE(plan.runs());
  expect_error(ErrorCode::kOutOfMemory, {"3 x 512 tokens", "--ctx 256", "--batch 128"},
               [&] { short_of_one.check_runs(plan); });
  EXPECT_NO_THROW(short_of_one.check_runs(short_of_one.plan(256)));
  options_.max_batch_tokens = 128;
  EXPECT_TRUE(short_of_one.plan(512).runs());
}

TEST_F(MemoryPlanTest, SaysWhenBothMustShrink) {
  options_.max_batch_tokens = 128;
  const int64_t limit = needed_for(256);
  options_.max_batch_tokens = 256;
  const MemoryPlanner planner_of_both = planner(limit);
  expect_error(ErrorCode::kOutOfMemory, {"--batch 128 --ctx 256"},
               [&] { planner_of_both.check_runs(planner_of_both.plan(512)); });
}

TEST_F(MemoryPlanTest, SaysWhenWeightsAreTooLarge) {
  const MemoryPlanner small = planner(1000);
  expect_error(ErrorCode::kOutOfMemory, {"1.00 kB", "weights alone", "--format"},
               [&] { small.check_runs(small.plan(256)); });
}

TEST_F(MemoryPlanTest, ReadsForPeople) {
  const MemoryPlan plan{.limit_bytes = 12'000'000'000,
                        .in_use_bytes = 1'000'000,
                        .weight_bytes = 10'600'000'000,
                        .mapped_bytes = 10'200'000'000,
                        .scratch_bytes = 19'000'000,
                        .kv_bytes = 1'200'000'000,
                        .sequences = 4,
                        .context = 8192};
  EXPECT_EQ(plan.text(),
            "weights 10.6 GB (10.2 GB mapped), buffers 20.0 MB, KV cache 1.20 GB (4 x 8192 "
            "tokens): 11.8 GB of 12.0 GB");
  EXPECT_TRUE(plan.fits());
}

TEST_F(MemoryPlanTest, MappedWeightsAreNotNeeded) {
  const MemoryPlan plan = planner(0).plan(512);
  EXPECT_GT(plan.mapped_bytes, plan.weight_bytes / 2);
  EXPECT_LT(plan.mapped_bytes, plan.weight_bytes);  // norms are copied
  const MemoryPlan tight = planner(plan.total_bytes() - 1).plan(512);
  EXPECT_FALSE(tight.fits());
  EXPECT_TRUE(tight.runs());
  const MemoryPlan short_of_one = planner(plan.total_bytes() - plan.mapped_bytes - 1).plan(512);
  EXPECT_FALSE(short_of_one.runs());
  options_.format_for = [](const TensorEntry& entry) {
    return entry.shape.size() > 1 ? "tq3" : "";
  };
  EXPECT_EQ(planner(0).plan(512).mapped_bytes, 0);
}

TEST_F(MemoryPlanTest, OnTheHostAutoLeavesAnEighth) {
  const auto chosen = [&](int64_t available, int64_t fallback = 16) {
    return plan_host_memory(planner(available), std::nullopt, fallback).context;
  };
  const int64_t half = bytes_for(256);
  const int64_t whole = bytes_for(512);
  EXPECT_EQ(chosen(whole * 8 / 7 + 8), 512);
  EXPECT_EQ(chosen(whole * 8 / 7 - 8), 256);
  EXPECT_EQ(chosen(half * 8 / 7 + 8), 256);
  // Nobody knows: the fallback.
  EXPECT_EQ(chosen(0, 48), 48);
}

TEST_F(MemoryPlanTest, OnTheHostMappedWeightsMayBeTooMany) {
  const auto plan = [&](int64_t available, std::optional<int64_t> context, int64_t fallback) {
    return plan_host_memory(planner(available), context, fallback);
  };
  // Seven eighths are too few for the shortest with all weights.
  ASSERT_LT(needed_for(512) - needed_for(512) / 8, bytes_for(256));
  EXPECT_EQ(plan(needed_for(512), std::nullopt, 300).context, 300);
  EXPECT_EQ(plan(needed_for(256), std::nullopt, 300).context, 256);
  EXPECT_EQ(plan(needed_for(512), 512, 300).context, 512);
  EXPECT_FALSE(plan(needed_for(512), 512, 300).fits());
  expect_error(ErrorCode::kOutOfMemory, {"in memory", "3 x 512 tokens", "--ctx 256"},
               [&] { plan(needed_for(512) - 1, 512, 300); });
  expect_error(ErrorCode::kOutOfMemory, {"3 x 300 tokens"},
               [&] { plan(needed_for(256) - 1, std::nullopt, 300); });
}

// A backend for which the KV format is not one of those it knows.
class WithoutKvFormat final : public RefusingBackend {
 public:
  explicit WithoutKvFormat(KvFormatId lacks) : lacks_(lacks) {}
  std::string_view name() const override { return "lacking"; }
  bool has_kernels(KvFormatId format) const override { return format != lacks_; }
  bool has_kernels(FormatId /*format*/) const override { return true; }
  Buffer allocate(size_t size_bytes) override { return Buffer(size_bytes); }
  Buffer allocate_host(size_t size_bytes) override { return Buffer(size_bytes); }
  bool on_host() const override { return false; }
  // A format that it lacks must not be asked for; fp32 takes the most.
  static constexpr size_t kScratch = 1 << 20;
  size_t attention_bytes(const AttentionArgs& args) const override {
    EXPECT_NE(args.kv.format, lacks_);
    return args.kv.format == fixtures::kKvF32 ? kScratch : 0;
  }
  void upload(const void* /*from*/, void* /*to*/, size_t /*n*/) override {}
  void download(const void* /*from*/, void* /*to*/, size_t /*n*/) override {}
  WeightView import_weight(const WeightView& weight, Buffer& /*storage*/) override {
    return weight;
  }

 private:
  KvFormatId lacks_;
};

TEST_F(MemoryPlanTest, RefusesAKvFormatWithoutKernelsByName) {
  for (const KvFormatTraits& format : all_kv_formats()) {
    const WithoutKvFormat backend(format.id);
    expect_error(ErrorCode::kUnsupported, {"lacking", std::string(format.name)}, [&] {
      options_.kv.format = format.id;
      const MemoryPlanner refused(*checkpoint_, backend, options_, 0);
    });
    const KvFormatId other = format.id == fixtures::kKvF32 ? fixtures::kKvF16 : fixtures::kKvF32;
    options_.kv.format = other;
    EXPECT_GT(MemoryPlanner(*checkpoint_, backend, options_, 0).plan(64).kv_bytes, 0);
  }
}

// Whatever cache the model will be given.
TEST_F(MemoryPlanTest, ScratchOfAttentionIsThatOfTheLargestKvFormat) {
  const auto scratch_without = [&](KvFormatId format) {
    return Model::measure(*checkpoint_, WithoutKvFormat(format), options_).scratch_bytes;
  };
  EXPECT_EQ(scratch_without(fixtures::kKvF16) - scratch_without(fixtures::kKvF32),
            static_cast<int64_t>(WithoutKvFormat::kScratch));
}

}  // namespace
}  // namespace tq
