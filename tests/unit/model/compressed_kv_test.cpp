// Forward passes over a compressed KV cache: what near pages, chunks, batches and wide layers do to
// logits.
#include <gtest/gtest.h>

#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

LoadOptions with_kv(std::string_view format, int64_t sinks, int64_t tail, int64_t skip_layers = 0) {
  LoadOptions options;
  options.kv = {.format = find_kv_format(format)->id,
                .sinks = sinks,
                .tail = tail,
                .skip_layers = skip_layers};
  return options;
}

class CompressedKvTest : public testing::TestWithParam<const char*> {
 protected:
  std::vector<float> run(const LoadOptions& options, const std::vector<int64_t>& pieces = {}) {
    return Runner(*golden_.checkpoint, true, options).run(golden_.tokens, pieces);
  }
  // With a cache of 16-bit numbers; all layers are kept so.
  std::vector<float> run_wide() { return run(with_kv("k4v3", 4, 8, 1000)); }

  Golden golden_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Models, CompressedKvTest,
                         testing::Values("llama", "llama_wide_heads", "gemma3"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(CompressedKvTest, WidthsAndNearTokensAreNearerToNumbers) {
  const std::vector<float> plain = Runner(*golden_.checkpoint).run(golden_.tokens);
  const auto error = [&](std::string_view format, int64_t sinks, int64_t tail, int64_t skip = 0) {
    return rms_difference(run(with_kv(format, sinks, tail, skip)), plain);
  };
  const double k8v8 = error("k8v8", 0, 0);
  const double k4v3 = error("k4v3", 0, 0);
  EXPECT_GT(k8v8, 0);
  EXPECT_LT(k8v8, 0.02);
  EXPECT_LT(8 * k8v8, k4v3);
  EXPECT_LT(k4v3, 0.5);
  EXPECT_LT(error("k4v3", 4, 16), k4v3);
  EXPECT_LT(rms_difference(run_wide(), plain), k8v8 / 2);
}

// Where the tail holds all tokens, none is read compressed.
TEST_P(CompressedKvTest, ATailOfAllTokensIsF16) {
  const std::vector<float> all_near = run(with_kv("k4v2", 4, 128));
  EXPECT_LT(rms_difference(all_near, run_wide()), 1e-5);
}

// Bit for bit, however a prompt is cut.
TEST_P(CompressedKvTest, PiecesDoNotChangeBits) {
  const LoadOptions options = with_kv("k4v3", 4, 20);
  const std::vector<float> whole = run(options);
  EXPECT_EQ(run(options, {1, 1, 1, 14, 16}), whole);
  EXPECT_EQ(run(options, std::vector<int64_t>(20, 1)), whole);
}

// Nor do others in the batch.
TEST_P(CompressedKvTest, BatchesDoNotChangeBits) {
  Runner runner(*golden_.checkpoint, true, with_kv("k4v3", 4, 8));
  const std::span<const int32_t> all = golden_.tokens;
  const std::span<const int32_t> runs[] = {all.first(30), all.subspan(5, 1), all.subspan(7, 20)};
  std::vector<float> alone;
  std::vector<PageTable> tables(3);
  std::vector<BatchSequence> batch;
  for (size_t i = 0; i < 3; ++i) {
    const auto logits = runner.run(runs[i]);
    alone.insert(alone.end(), logits.begin(), logits.end());
  }
  for (size_t i = 0; i < 3; ++i) {
    const auto n = static_cast<int64_t>(runs[i].size());
    ASSERT_TRUE(runner.pages().grow(tables[i], n));
    batch.push_back({runs[i], 0, &tables[i], n});
  }
  EXPECT_EQ(runner.forward(batch), alone);
}

// A prompt that goes on where another ended finds its tail too, and changes no bit; one that leaves
// it earlier computes a tail again and reads what is before that compressed.
TEST_P(CompressedKvTest, SharedBeginnings) {
  const LoadOptions options = with_kv("k4v3", 4, 16);
  Runner runner(*golden_.checkpoint, true, options);
  const std::span<const int32_t> tokens = golden_.tokens;
  ASSERT_GE(tokens.size(), 33u);
  const auto vocab = static_cast<size_t>(runner.model().spec().vocab);
  const std::vector<float> undisturbed = runner.run(tokens);
  PageTable first;
  (void)runner.run_on(first, 0, tokens.first(32), {16});
  runner.pages().retire(first, tokens.first(32));
  PageTable next;
  const int64_t n = runner.pages().adopt(next, tokens);
  EXPECT_EQ(n, 32);
  const std::vector<float> rest = runner.run_on(next, n, tokens);
  EXPECT_EQ(rest, std::vector<float>(undisturbed.begin() + n * static_cast<int64_t>(vocab),
                                     undisturbed.end()));
  runner.pages().release(next);
}

// Keys with a bias: what is added to the scores is what the cache would have held.
TEST(CompressedKv, BiasesOfKeysAreExact) {
  const Golden golden("llama_bias_rope3");
  const std::vector<float> plain = Runner(*golden.checkpoint).run(golden.tokens);
  const auto error = [&](const LoadOptions& options, const std::vector<int64_t>& pieces = {}) {
    return rms_difference(Runner(*golden.checkpoint, true, options).run(golden.tokens, pieces),
                          plain);
  };
  EXPECT_LT(error(with_kv("k8v8", 4, 128)), 1e-3) << "all in 16 bits";
  EXPECT_LT(error(with_kv("k8v8", 4, 128), {1, 17, 3}), 1e-3);
  EXPECT_LT(error(with_kv("k8v8", 0, 0)), 0.02);
}

// Qwen2.5's biases are hundreds of times as large as the rest of its keys: codes of their sum would
// be noise.
TEST(CompressedKv, LargeBiasesOfKeysDoNoHarm) {
  const Golden golden("llama_bias_rope3");
  MemoryCheckpoint large(*golden.checkpoint);
  for (MemoryCheckpoint::Tensor& tensor : large.contents()) {
    if (tensor.name.ends_with("k_proj.bias")) {
      for (float& x : tensor.values) x *= 300;
    }
  }
  const std::vector<float> plain = Runner(large).run(golden.tokens);
  const std::vector<float> k8v8 = Runner(large, true, with_kv("k8v8", 0, 0)).run(golden.tokens);
  EXPECT_LT(rms_difference(k8v8, plain), 0.05);
}

TEST(CompressedKv, RefusesHeadsAndLatentsByName) {
  for (const char* model : {"gemma4_e", "glm4_moe_lite"}) {
    const Golden golden(model);
    const Error error =
        error_of([&] { Runner runner(*golden.checkpoint, true, with_kv("k8v8", 4, 128)); });
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << model;
    EXPECT_NE(std::string(error.what()).find("k8v8"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace tq::test
