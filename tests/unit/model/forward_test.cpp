// What a forward pass promises whatever the model: batches, pages, limits, observation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::HasSubstr;

class ForwardTest : public testing::TestWithParam<const char*> {
 protected:
  ForwardTest() : golden_(GetParam()), runner_(*golden_.checkpoint) {}

  BlockTable reserve(int64_t n_tokens) {
    BlockTable table;
    EXPECT_TRUE(runner_.blocks().reserve(table, n_tokens));
    return table;
  }
  std::span<const int32_t> tokens(size_t begin, size_t n) const {
    return std::span(golden_.tokens).subspan(begin, n);
  }
  int64_t vocab() { return runner_.model().spec().vocab; }

  Golden golden_;
  Runner runner_;
};

INSTANTIATE_TEST_SUITE_P(Models, ForwardTest,
                         testing::Values("llama_wide_heads", "gemma3", "gemma4_moe", "gemma4_e",
                                         "qwen3_moe", "glm4_moe_lite_groups"),
                         [](const auto& test) { return std::string(test.param); });

// Bit for bit: a sequence must not depend on what else is in its batch.
TEST_P(ForwardTest, RaggedBatchEqualsEachSequenceAlone) {
  const std::vector<std::span<const int32_t>> runs = {tokens(0, 33), tokens(3, 1), tokens(7, 16),
                                                      tokens(1, 17)};
  std::vector<float> alone;
  for (const auto& run : runs) {
    const auto logits = runner_.run(run);
    alone.insert(alone.end(), logits.begin(), logits.end());
  }
  std::vector<BlockTable> tables;
  std::vector<BatchSequence> batch;
  for (const auto& run : runs) tables.push_back(reserve(static_cast<int64_t>(run.size())));
  for (size_t i = 0; i < runs.size(); ++i) {
    batch.push_back({runs[i], 0, &tables[i], static_cast<int64_t>(runs[i].size())});
  }
  EXPECT_EQ(runner_.forward(batch), alone);
}

// Pages of sliding layers are used again and again once the window has left them: bit for bit what
// it is when every token is kept.
TEST_P(ForwardTest, RingsKeepWhatWindowsSee) {
  LoadOptions options;
  options.max_batch_tokens = 8;
  Runner small(*golden_.checkpoint, /*exact=*/true, options);
  const std::vector<int64_t> windows = small.model().spec().windows();
  const int64_t widest = *std::max_element(windows.begin(), windows.end());
  EXPECT_EQ(small.model().kv_layout().recent_blocks > 0, widest > 0);
  const auto run = tokens(0, 40);
  const std::vector<int64_t> pieces = {8, 1, 8, 8, 3, 8, 1};
  ASSERT_LT(small.model().kv_layout().recent_blocks, 40 / kKvBlockTokens);
  EXPECT_EQ(small.run(run, pieces), runner_.run(run, pieces));
}

// Prefill of one sequence and decoding of others ride together.
TEST_P(ForwardTest, MixedPrefillAndDecodeEqualsEachAlone) {
  const auto expected_a = runner_.run(tokens(0, 30));
  const auto expected_b = runner_.run(tokens(5, 20));
  BlockTable a = reserve(30);
  BlockTable b = reserve(20);
  const BatchSequence prefill_a{tokens(0, 29), 0, &a, 0};
  EXPECT_TRUE(runner_.forward({&prefill_a, 1}).empty());
  const std::vector<BatchSequence> batch = {{tokens(29, 1), 29, &a, 1}, {tokens(5, 20), 0, &b, 2}};
  const auto logits = runner_.forward(batch);
  std::vector<float> expected(expected_a.end() - vocab(), expected_a.end());
  expected.insert(expected.end(), expected_b.end() - 2 * vocab(), expected_b.end());
  EXPECT_EQ(logits, expected);
}

TEST_P(ForwardTest, PagesMayLieInAnyOrder) {
  const auto expected = runner_.run(tokens(0, 40));
  BlockTable table;
  table.blocks = {61, 2, 17};
  if (runner_.model().kv_layout().recent_blocks > 0) table.recent = {5, 60, 9};
  const BatchSequence prefill{tokens(0, 35), 0, &table, 35};
  auto logits = runner_.forward({&prefill, 1});
  const BatchSequence rest{tokens(35, 5), 35, &table, 5};
  const auto more = runner_.forward({&rest, 1});
  logits.insert(logits.end(), more.begin(), more.end());
  EXPECT_EQ(logits, expected);
}

// A table may be longer than the sequence: pages reserved ahead are not read.
TEST_P(ForwardTest, ReservedPagesAreNotRead) {
  const auto expected = runner_.run(tokens(0, 10));
  const BlockTable table = reserve(128);
  const BatchSequence sequence{tokens(0, 10), 0, &table, 10};
  EXPECT_EQ(runner_.forward({&sequence, 1}), expected);
}

TEST_P(ForwardTest, ObserverSeesEveryStage) {
  const int64_t hidden = runner_.model().spec().hidden;
  const auto n_layers = static_cast<int64_t>(runner_.model().spec().layers.size());
  std::vector<std::string> seen;
  runner_.model().set_observer(
      [&](std::string_view stage, int64_t layer, std::span<const float> values) {
        seen.push_back(std::string(stage) + std::to_string(layer));
        EXPECT_EQ(static_cast<int64_t>(values.size()), hidden * 6);
      });
  runner_.run(tokens(0, 6));
  std::vector<std::string> expected = {"embed-1"};
  for (int64_t i = 0; i < n_layers; ++i) {
    expected.push_back("attention" + std::to_string(i));
    expected.push_back("ffn" + std::to_string(i));
  }
  expected.push_back("norm-1");
  EXPECT_EQ(seen, expected);
  runner_.model().set_observer({});
  runner_.run(tokens(0, 1));
  EXPECT_EQ(seen, expected);
}

TEST_P(ForwardTest, RefusesTokensOutsideTheVocabulary) {
  for (const int32_t id : {-1, static_cast<int32_t>(vocab())}) {
    const std::vector<int32_t> ids = {1, id};
    const Error error = error_of([&] { runner_.run(ids); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(id)));
  }
}

TEST_P(ForwardTest, ChecksItsLimits) {
  const BlockTable table = reserve(16);
  const BlockTable long_table = reserve(128);
  const std::vector<int32_t> many(101, 1);
  std::vector<float> logits(static_cast<size_t>(vocab()));
  const auto expect_refused = [&](const std::vector<BatchSequence>& batch, const char* why) {
    const Error error = error_of([&] { runner_.model().forward(batch, runner_.kv(), logits); });
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), HasSubstr(why));
  };
  expect_refused({}, "0 sequences");
  expect_refused(std::vector<BatchSequence>(9, {tokens(0, 1), 0, &table, 0}), "9 sequences");
  expect_refused({{{}, 0, &table, 0}}, "0 tokens");
  expect_refused({{tokens(0, 1), -1, &table, 1}}, "from -1");
  expect_refused({{tokens(0, 1), 0, nullptr, 1}}, "block table");
  expect_refused({{tokens(0, 17), 0, &table, 1}}, "does not cover 17");
  expect_refused({{tokens(0, 1), 16, &table, 1}}, "does not cover 17");
  expect_refused({{tokens(0, 1), 128, &long_table, 1}}, "129 tokens exceed the context of 128");
  expect_refused({{many, 0, &long_table, 1}}, "more than 100 tokens");
  expect_refused({{tokens(0, 1), 0, &table, 2}}, "2 rows of logits");
  expect_refused({{tokens(0, 2), 0, &table, 2}}, "for 2 rows");
  auto shapes = runner_.model().kv_layout().layers;
  shapes.pop_back();
  KvCache wrong(runner_.model().backend(), shapes, KvDType::kF32, 4);
  const BatchSequence one{tokens(0, 1), 0, &table, 1};
  EXPECT_EQ(error_of([&] {
              runner_.model().forward({&one, 1}, wrong, logits);
            }).code(),
            ErrorCode::kInternal);
  EXPECT_EQ(runner_.run(tokens(0, 1)).size(), logits.size());  // still works
}

}  // namespace
}  // namespace tq::test
