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

// Where the tail holds all tokens, none is read compressed. (One of 128 tokens, the context, would
// have no near pages.)
TEST_P(CompressedKvTest, ATailOfAllTokensIsF16) {
  const std::vector<float> all_near = run(with_kv("k4v2", 4, 127));
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

// A prompt that goes on where another ended finds its tail too, and changes no bit.
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

// Writes NaN to every near page that the table has not. Entries of a table that are not there name
// page 0, which must be somebody else's: else reading it could go unnoticed.
void spoil_other_near_pages(Runner& runner, const PageTable& table) {
  const KvLayout layout = runner.model().kv_layout();
  const auto near_group = static_cast<size_t>(layout.near_group);
  const PageTable::Group& group = table.groups[near_group];
  std::vector<bool> is_own(static_cast<size_t>(runner.pages().n_pages(near_group)));
  for (size_t i = 0; i < group.pages.size(); ++i) {
    if (group.has(static_cast<int64_t>(i))) is_own[static_cast<size_t>(group.pages[i])] = true;
  }
  ASSERT_FALSE(is_own[0]);
  constexpr uint16_t kNan = 0x7e00;  // f16
  for (int64_t l = 0; l < runner.kv().n_layers(); ++l) {
    const KvLayerView* near = runner.kv().layer(l).near;
    if (near == nullptr) continue;
    for (const auto& [first, dim] : {std::pair(near->k, near->k_dim), {near->v, near->v_dim}}) {
      const auto n = static_cast<size_t>(kKvBlockTokens * near->n_kv_heads * dim);
      for (size_t page = 0; page < is_own.size(); ++page) {
        if (!is_own[page]) std::fill_n(static_cast<uint16_t*>(first) + page * n, n, kNan);
      }
    }
  }
}

// A runner whose page 0 is taken in every group.
struct SpoiltRunner : Runner {
  using Runner::Runner;
  // As run_on(), with NaN in all near pages that a step must not read.
  std::vector<float> run_spoilt(PageTable& table, int64_t done, std::span<const int32_t> tokens,
                                std::vector<int64_t> pieces) {
    int64_t rest = static_cast<int64_t>(tokens.size()) - done;
    for (const int64_t n : pieces) rest -= n;
    if (rest > 0) pieces.push_back(rest);
    std::vector<float> all;
    for (const int64_t n : pieces) {
      pages().slide(table, done);
      EXPECT_TRUE(pages().grow(table, done + n));
      spoil_other_near_pages(*this, table);
      const auto logits = run_on(table, done, tokens.first(static_cast<size_t>(done + n)));
      all.insert(all.end(), logits.begin(), logits.end());
      done += n;
    }
    return all;
  }
  void take_page_0() { ASSERT_TRUE(pages().grow(first_, kKvBlockTokens)); }

 private:
  PageTable first_;
};

std::vector<int32_t> tokens_of(int64_t n, int64_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>((seed * 31 + i * i) % 90));
  return tokens;
}

// Near pages that the tail has left are not read: without sinks near tokens begin where it does.
TEST_P(CompressedKvTest, NearPagesThatWereGivenBackAreNotRead) {
  for (const int64_t sinks : {0, 4}) {
    SpoiltRunner runner(*golden_.checkpoint, true, with_kv("k4v3", sinks, 8));
    runner.take_page_0();
    const std::vector<int32_t> tokens = tokens_of(100, 3);
    const std::vector<float> whole = runner.run(tokens);
    for (const std::vector<int64_t>& pieces :
         {std::vector<int64_t>{39}, {1, 50, 48}, {16, 16, 16, 16, 16, 16}}) {
      PageTable table;
      EXPECT_EQ(runner.run_spoilt(table, 0, tokens, pieces), whole);
      EXPECT_GT(
          table.groups[static_cast<size_t>(runner.model().kv_layout().near_group)].begin_tokens(),
          0);
      runner.pages().release(table);
    }
  }
}

// What leaves a beginning where near pages are gone begins earlier by a tail, and reads codes where
// near pages are not its own: the same bits as a sequence that lost them by hand.
TEST_P(CompressedKvTest, BeginningsWithoutATailReadCodes) {
  SpoiltRunner runner(*golden_.checkpoint, true, with_kv("k4v3", 4, 16));
  runner.take_page_0();
  const auto near_group = static_cast<size_t>(runner.model().kv_layout().near_group);
  const std::vector<int32_t> known = tokens_of(120, 3);
  PageTable first;
  (void)runner.run_on(first, 0, known, std::vector<int64_t>(7, 16));
  runner.pages().retire(first, known);

  std::vector<int32_t> tokens(known.begin(), known.begin() + 80);
  for (const int32_t token : tokens_of(35, 8)) tokens.push_back(token);
  PageTable adopted;
  constexpr int64_t kBegin = 64;
  ASSERT_EQ(runner.pages().adopt(adopted, tokens), kBegin);
  ASSERT_EQ(adopted.groups[near_group].begin_tokens(), kBegin);
  const std::vector<float> rest = runner.run_spoilt(adopted, kBegin, tokens, {1, 20});

  PageTable fresh;
  (void)runner.run_on(fresh, 0, std::span<const int32_t>(tokens).first(kBegin));
  fresh.groups[near_group].n_left = kBegin / kKvBlockTokens;
  EXPECT_EQ(runner.run_on(fresh, kBegin, tokens), rest);
  const std::vector<float> undisturbed = runner.run(tokens, {kBegin});
  EXPECT_NE(std::vector<float>(undisturbed.end() - static_cast<std::ptrdiff_t>(rest.size()),
                               undisturbed.end()),
            rest);
}

// Keys with a bias: what is added to the scores is what the cache would have held.
TEST(CompressedKv, BiasesOfKeysAreExact) {
  const Golden golden("llama_bias_rope3");
  const std::vector<float> plain = Runner(*golden.checkpoint).run(golden.tokens);
  const auto error = [&](const LoadOptions& options, const std::vector<int64_t>& pieces = {}) {
    return rms_difference(Runner(*golden.checkpoint, true, options).run(golden.tokens, pieces),
                          plain);
  };
  EXPECT_LT(error(with_kv("k8v8", 4, 127)), 1e-3) << "all in 16 bits";
  EXPECT_LT(error(with_kv("k8v8", 4, 127), {1, 17, 3}), 1e-3);
  EXPECT_LT(error(with_kv("k8v8", 0, 0)), 0.02);
}

// The same where cosines and sines are scaled, by yarn.
TEST(CompressedKv, BiasesOfKeysAreExactWithYarn) {
  const Golden golden("llama_bias_rope3");
  MemoryCheckpoint yarn(*golden.checkpoint);
  Json& config = yarn.config();
  config.erase("rope_scaling");
  config["rope_parameters"] = {{"rope_type", "yarn"},
                               {"rope_theta", 10000.0},
                               {"factor", 4.0},
                               {"original_max_position_embeddings", 64},
                               {"attention_factor", 1.3}};
  const std::vector<float> plain = Runner(yarn).run(golden.tokens);
  const std::vector<float> all_near =
      Runner(yarn, true, with_kv("k8v8", 4, 127)).run(golden.tokens, {1, 17, 3});
  EXPECT_LT(rms_difference(all_near, plain), 1e-3);
  config["rope_parameters"]["attention_factor"] = 1.0;
  EXPECT_GT(rms_difference(Runner(yarn).run(golden.tokens), plain), 0.05);
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
