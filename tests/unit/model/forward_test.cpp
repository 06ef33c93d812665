// What a forward pass promises whatever the model: batches, pages, limits, observation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::HasSubstr;

class ForwardTest : public testing::TestWithParam<const char*> {
 protected:
  ForwardTest() : golden_(GetParam()), runner_(*golden_.checkpoint) {}

  PageTable reserve(int64_t n_tokens) {
    PageTable table;
    EXPECT_TRUE(runner_.pages().grow(table, n_tokens));
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
                                         "qwen3_moe", "glm4_moe_lite_groups", "ministral3", "phi3",
                                         "qwen3_5", "qwen3_5_moe"),
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
  std::vector<PageTable> tables;
  std::vector<BatchSequence> batch;
  for (const auto& run : runs) tables.push_back(reserve(static_cast<int64_t>(run.size())));
  for (size_t i = 0; i < runs.size(); ++i) {
    batch.push_back({runs[i], 0, &tables[i], static_cast<int64_t>(runs[i].size())});
  }
  EXPECT_EQ(runner_.forward(batch), alone);
}

// Pages of sliding layers are given back once the window has left them, and used again: bit for bit
// what it is when every token is kept.
TEST_P(ForwardTest, WindowsKeepWhatTheySee) {
  LoadOptions options;
  options.max_batch_tokens = 8;
  Runner small(*golden_.checkpoint, /*exact=*/true, options);
  const std::vector<int64_t> windows = small.model().spec().windows();
  const int64_t widest = *std::max_element(windows.begin(), windows.end());
  const size_t n_states = small.model().kv_layout().states() > 0 ? 1 : 0;
  EXPECT_EQ(small.model().kv_layout().windows.size() - n_states > 1, widest > 0);
  const auto run = tokens(0, 40);
  const std::vector<int64_t> pieces = {8, 1, 8, 8, 3, 8, 1};
  // Whatever is not written by the sequence is NaN, the page that stands for those left, too.
  PageTable other;
  ASSERT_TRUE(small.pages().grow(other, 16));
  for (int64_t i = 0; i < small.kv().n_layers(); ++i) {
    const KvLayerView& view = small.kv().layer(i);
    const auto poison = [&](void* plane, int64_t dim) {
      if (plane == nullptr) return;
      const std::vector<uint32_t> nans(
          static_cast<size_t>(view.n_blocks * view.n_kv_heads * kKvBlockTokens * dim), 0x7fc00000);
      small.model().backend().upload(nans.data(), plane, nans.size() * sizeof(uint32_t));
    };
    poison(view.k, view.k_dim);
    poison(view.v, view.v_dim);
  }
  PageTable table;
  EXPECT_EQ(small.run_on(table, 0, run, pieces), runner_.run(run, pieces));
  for (size_t g = 1; g < table.groups.size() - n_states; ++g) {
    EXPECT_GT(table.groups[g].n_left, 0) << "nothing was left behind";
    EXPECT_EQ(table.groups[g].pages[0], other.groups[g].pages[0]);
  }
}

// A sequence that begins like others goes on after what those have computed: the same bits as if
// nothing were shared; so does one that was preempted, and one that was forked.
TEST_P(ForwardTest, SharedPagesChangeNothing) {
  LoadOptions options;
  options.max_batch_tokens = 8;  // so that layers have windows
  Runner small(*golden_.checkpoint, /*exact=*/true, options);
  Pages& pages = small.pages();
  if (small.model().kv_layout().states() > 0) {
    GTEST_SKIP() << "states end where they were kept: tests/unit/engine/states_test.cpp";
  }
  const auto all = tokens(0, 40);
  const std::vector<int64_t> pieces = {8, 8, 8, 8, 3};
  const std::vector<float> expected = runner_.run(all, {8, 8, 8, 8, 3, 1, 1, 1, 1});
  const auto expected_from = [&](int64_t at) {
    return std::vector<float>(expected.begin() + at * vocab(), expected.end());
  };
  PageTable first;
  small.run_on(first, 0, all.first(35), pieces);
  pages.publish(first, all.first(35));
  PageTable second;
  ASSERT_EQ(pages.adopt(second, all), 32) << "while the first one is running";
  EXPECT_EQ(small.run_on(second, 32, all, {3, 1, 1, 1, 1}), expected_from(32));
  auto forked = pages.fork(first, 35, [&](size_t group, PageId from, PageId to) {
    small.kv().copy_page(static_cast<int64_t>(group), from, to);
  });
  ASSERT_TRUE(forked);
  const std::vector<int32_t> elsewhere = {1, 2, 3};
  std::vector<int32_t> branch(all.begin(), all.begin() + 35);
  branch.insert(branch.end(), elsewhere.begin(), elsewhere.end());
  small.run_on(*forked, 35, branch, {1, 1});  // writes its copy only
  EXPECT_EQ(small.run_on(first, 35, all, {1, 1, 1, 1}), expected_from(35));
  pages.release(*forked);
  pages.retire(second, all.first(39));
  pages.retire(first, all.first(35));
  PageTable third;
  const int64_t n = pages.adopt(third, all);
  ASSERT_EQ(n, 39) << "the partly filled page as well";
  EXPECT_EQ(small.run_on(third, n, all), expected_from(39));
}

// Prefill of one sequence and decoding of others ride together.
TEST_P(ForwardTest, MixedPrefillAndDecodeEqualsEachAlone) {
  const auto expected_a = runner_.run(tokens(0, 30));
  const auto expected_b = runner_.run(tokens(5, 20));
  PageTable a = reserve(30);
  PageTable b = reserve(20);
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
  const PageTable table = runner_.table({61, 2, 17});
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
  const PageTable table = reserve(128);
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
  const PageTable table = reserve(16);
  const PageTable long_table = reserve(128);
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
  expect_refused({{tokens(0, 1), 0, nullptr, 1}}, "page table");
  expect_refused({{tokens(0, 17), 0, &table, 1}}, "does not cover 17");
  expect_refused({{tokens(0, 1), 16, &table, 1}}, "does not cover 17");
  expect_refused({{tokens(0, 1), 128, &long_table, 1}}, "129 tokens exceed the context of 128");
  expect_refused({{many, 0, &long_table, 1}}, "more than 100 tokens");
  expect_refused({{tokens(0, 1), 0, &table, 2}}, "2 rows of logits");
  expect_refused({{tokens(0, 2), 0, &table, 2}}, "for 2 rows");
  KvLayout layout = runner_.model().kv_layout();
  layout.layers.pop_back();
  const std::vector<int64_t> n_pages(layout.windows.size(), 4);
  KvCache wrong(runner_.model().backend(), layout, fixtures::kKvF32, n_pages);
  const BatchSequence one{tokens(0, 1), 0, &table, 1};
  EXPECT_EQ(error_of([&] {
              runner_.model().forward({&one, 1}, wrong, logits);
            }).code(),
            ErrorCode::kInternal);
  EXPECT_EQ(runner_.run(tokens(0, 1)).size(), logits.size());  // still works
}

}  // namespace
}  // namespace tq::test
