#include "model/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/error.h"
#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using ::testing::ElementsAre;
using tq::fixtures::expect_error;

// Parameters in all and those a token passes through (the head once, no embedding row), counted by
// hand from the published configs.
struct Counted {
  std::string_view name;
  int64_t total;
  int64_t active;
};
constexpr std::array kCounted{
    Counted{"gemma-4-26B-A4B", 25233141790, 3822530590},
    Counted{"gemma-4-31B", 30697345340, 30697345340},
    Counted{"qwen3-30B-A3B", 30532122624, 3041867776},
    Counted{"qwen3-235B-A22B", 235093634560, 21568433664},
    Counted{"glm-4.7-flash", 29943393920, 3579571840},
    Counted{"gpt-oss-20b", 20914757184, 3608307264},
    Counted{"gpt-oss-120b", 116829156672, 5132849472},
    Counted{"ministral-3-8b", 8489553920, 7952683008},
    Counted{"phi-4", 14659507200, 14145704960},
    Counted{"smollm3-3b", 3075098624, 3075098624},
    Counted{"gemma-3-270m", 268098176, 268098176},
    Counted{"gemma-3-1b", 999885952, 999885952},
    Counted{"smollm2-135m", 134515008, 134515008},
};

TEST(Summary, ParametersOfPublishedModels) {
  for (const Counted& counted : kCounted) {
    const auto checkpoint = open_checkpoint("synth:" + std::string(counted.name));
    const ModelSummary summary = summarize(*checkpoint);
    EXPECT_EQ(summary.n_parameters, counted.total) << counted.name;
    EXPECT_EQ(summary.active_parameters, counted.active) << counted.name;
  }
}

// Everything is bf16 but GLM's selection bias.
TEST(Summary, BytesFollowTheStorage) {
  const ModelSummary gemma = summarize(*open_checkpoint("synth:gemma-4-26B-A4B"));
  EXPECT_EQ(gemma.weight_bytes, 2 * gemma.n_parameters);
  EXPECT_EQ(gemma.bytes_per_token, 2 * gemma.active_parameters);
  const ModelSummary glm = summarize(*open_checkpoint("synth:glm-4.7-flash"));
  EXPECT_EQ(glm.weight_bytes, 2 * glm.n_parameters + 2 * 46 * 64);
}

TEST(Summary, LayersOfGemma4) {
  const ModelSummary summary = summarize(*open_checkpoint("synth:gemma-4-26B-A4B"));
  EXPECT_EQ(summary.n_layers, 30);
  EXPECT_EQ(summary.hidden, 2816);
  EXPECT_EQ(summary.vocab, 262144);
  EXPECT_TRUE(summary.tied_head);
  LayerGroup sliding{.n_layers = 25,
                     .attention = "sliding",
                     .window = 1024,
                     .n_heads = 16,
                     .n_kv_heads = 8,
                     .head_dim = 256,
                     .mlp_width = 2112,
                     .n_experts = 128,
                     .top_k = 8,
                     .expert_width = 704};
  LayerGroup full = sliding;
  full.n_layers = 5;
  full.attention = "full";
  full.window = 0;
  full.n_kv_heads = 2;
  full.head_dim = 512;
  EXPECT_THAT(summary.layers, ElementsAre(sliding, full));
}

TEST(Summary, LayersOfOtherKinds) {
  const ModelSummary glm = summarize(*open_checkpoint("synth:glm-4.7-flash"));
  ASSERT_EQ(glm.layers.size(), 2u);
  EXPECT_EQ(glm.layers[0].n_layers, 1);
  EXPECT_EQ(glm.layers[0].attention, "latent");
  EXPECT_EQ(glm.layers[0].head_dim, 256);
  EXPECT_EQ(glm.layers[0].mlp_width, 10240);
  EXPECT_EQ(glm.layers[0].n_experts, 0);
  EXPECT_EQ(glm.layers[1].n_layers, 46);
  EXPECT_EQ(glm.layers[1].mlp_width, 1536);  // the shared expert
  EXPECT_EQ(glm.layers[1].n_experts, 64);

  const ModelSummary e2b = summarize(*open_checkpoint("synth:gemma-4-E2B"));
  int64_t n_shared = 0;
  for (const LayerGroup& group : e2b.layers) {
    if (!group.shared_kv) continue;
    n_shared += group.n_layers;
    EXPECT_EQ(group.mlp_width, 2 * 6144);
  }
  EXPECT_EQ(n_shared, 20);
}

// Published sizes of bf16 caches; f16 takes the same.
TEST(Summary, KvCacheOfPublishedModels) {
  const auto kv = [](const char* name) {
    return summarize(*open_checkpoint(name)).kv_bytes_per_token(fixtures::kKvF16);
  };
  EXPECT_EQ(kv("synth:gemma-4-26B-A4B"), 225280);
  EXPECT_EQ(kv("synth:qwen3-30B-A3B"), 98304);
  EXPECT_EQ(kv("synth:qwen3-235B-A22B"), 192512);
  EXPECT_EQ(kv("synth:glm-4.7-flash"), 54144);
  const ModelSummary smol = summarize(*open_checkpoint("synth:smollm2-135m"));
  EXPECT_EQ(smol.kv_bytes(4096, {.format = fixtures::kKvF16}), 23040 * 4096);
  EXPECT_EQ(smol.kv_bytes(4095, {.format = fixtures::kKvF16}), 23040 * 4096);
}

// Layers with a window keep it and a step, in whole pages, however long the sequence is.
TEST(Summary, KvCacheOfSlidingLayersIsAWindow) {
  const ModelSummary summary = summarize(*open_checkpoint("synth:gemma-4-26B-A4B"));
  constexpr int64_t kFull = 5 * 4096;  // bytes a token of the full layers
  constexpr int64_t kSliding = 25 * 8192;
  EXPECT_EQ(summary.kv_bytes(1024, {.format = fixtures::kKvF16}), 1024 * (kFull + kSliding));
  constexpr int64_t kWindow = 1024 + 512 + 16;  // 1535 may touch so much in pages of 16
  EXPECT_EQ(summary.kv_bytes(262144, {.format = fixtures::kKvF16}),
            262144 * kFull + kWindow * kSliding);
  EXPECT_EQ(summary.kv_bytes(262144, {.format = fixtures::kKvF16}, 1),
            262144 * kFull + (1024 + 16) * kSliding);
}

TEST(Summary, KvReadStopsAtTheWindow) {
  const ModelSummary summary = summarize(*open_checkpoint("synth:gemma-4-26B-A4B"));
  constexpr int64_t kFull = 5 * 4096;  // bytes a token of the full layers
  constexpr int64_t kSliding = 25 * 8192;
  EXPECT_EQ(summary.kv_bytes_read(100, {.format = fixtures::kKvF16}), 100 * (kFull + kSliding));
  EXPECT_EQ(summary.kv_bytes_read(4096, {.format = fixtures::kKvF16}),
            4096 * kFull + 1024 * kSliding);
  EXPECT_EQ(summary.kv_bytes_read(4096, {.format = fixtures::kKvF32}),
            2 * (4096 * kFull + 1024 * kSliding));
  // Layers that share keys and values read them all the same.
  const ModelSummary e2b = summarize(*open_checkpoint("synth:gemma-4-E2B"));
  EXPECT_GT(e2b.kv_bytes_read(1, {.format = fixtures::kKvF16}),
            2 * e2b.kv_bytes_per_token(fixtures::kKvF16));
}

TEST(Summary, RefusesWhatCannotBeRun) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  EXPECT_EQ(summarize(checkpoint).n_layers, 2);
  checkpoint.erase("model.layers.1.mlp.up_proj.weight");
  expect_error(ErrorCode::kNotFound, {"model.layers.1.mlp.up_proj.weight"},
               [&] { summarize(checkpoint); });
  checkpoint.config()["model_type"] = "mamba";
  expect_error(ErrorCode::kUnsupported, {"mamba"}, [&] { summarize(checkpoint); });
}

}  // namespace
}  // namespace tq::test
