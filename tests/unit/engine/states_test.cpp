// The engine over layers that keep a state for each sequence, on a golden model: what company,
// preemption, cancelling and forks leave of the tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "engine/candidates.h"
#include "engine/engine.h"
#include "support/expect_error.h"
#include "support/forwarding_model.h"
#include "unit/engine/received.h"

namespace tq {
namespace {

class States : public ::testing::TestWithParam<const char*> {
 protected:
  static std::vector<int32_t> text(int64_t n, int32_t seed) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>((seed * 31 + i * i) % 120));
    return ids;
  }
  Engine make_engine(int64_t n_pages) {
    return {*model_, nullptr, {}, {.kv_format = fixtures::kKvF32, .n_pages = n_pages}};
  }
  std::vector<int32_t> alone(const std::vector<int32_t>& prompt, int n) {
    Engine engine = make_engine(0);
    Received received;
    engine.add(make_request(prompt, n, received));
    run_all(engine);
    EXPECT_EQ(received.finish, FinishReason::kLength) << received.error;
    return received.ids;
  }

  std::unique_ptr<Checkpoint> checkpoint_ =
      open_checkpoint(std::string(TQ_TEST_DATA "/golden/models/") + GetParam());
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 1});
  std::unique_ptr<Model> model_ = Model::load(
      *checkpoint_, *backend_, {.max_batch_tokens = 24, .max_sequences = 4, .max_context = 160});
};

INSTANTIATE_TEST_SUITE_P(Models, States, ::testing::Values("qwen3_5", "qwen3_5_moe"),
                         [](const auto& test) { return std::string(test.param); });

// More requests than slots, pages for about two: each gets the tokens that it gets alone, although
// slots go from one to another, prompts are cut wherever others leave room, and some begin anew.
TEST_P(States, CompanyAndPreemptionChangeNothing) {
  Engine engine = make_engine(12);
  std::vector<std::unique_ptr<Received>> received;
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t i = 0; i < 7; ++i) {
    prompts.push_back(text(10 + 9 * i, i % 3));  // many begin alike
    received.push_back(std::make_unique<Received>());
    engine.add(make_request(prompts.back(), 50, *received.back()));
  }
  run_all(engine);
  int64_t n_preemptions = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(received[i]->ids, alone(prompts[i], 50)) << i;
    n_preemptions += received[i]->stats.preemptions;
  }
  EXPECT_GT(n_preemptions, 0);
  EXPECT_EQ(engine.n_available_pages(), 12);
}

// The same prompt again, one that goes on where it ended, one that differs within a page, and
// several answers to one: what goes on from a kept state gives the tokens of a run from the start.
TEST_P(States, KeptStatesChangeNothing) {
  const std::vector<int32_t> prompt = text(60, 1);
  const std::vector<int32_t> expected = alone(prompt, 20);
  std::vector<int32_t> longer = prompt;
  longer.insert(longer.end(), expected.begin(), expected.end());
  longer.push_back(9);
  std::vector<int32_t> other = prompt;
  other[50] = 3;
  const std::vector<int32_t> expected_longer = alone(longer, 10);
  const std::vector<int32_t> expected_other = alone(other, 10);
  Engine engine = make_engine(0);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Received>> received;
    for (int i = 0; i < 3; ++i) {
      received.push_back(std::make_unique<Received>());
      engine.add(make_request(prompt, 20, *received.back()));
    }
    run_all(engine);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(received[i]->ids, expected);
      EXPECT_EQ(received[i]->stats.reused_tokens, round == 0 && i == 0 ? 0 : 48) << i;
    }
    Received next;
    engine.add(make_request(longer, 10, next));
    run_all(engine);
    EXPECT_EQ(next.ids, expected_longer);
    EXPECT_EQ(next.stats.reused_tokens, 79) << "its end was the last answer's";
    Received differs;
    engine.add(make_request(other, 10, differs));
    run_all(engine);
    EXPECT_EQ(differs.ids, expected_other);
    EXPECT_EQ(differs.stats.reused_tokens, 48);
  }
}

// Requests that begin and end in every way, with few slots and pages, some cancelled: each gets the
// tokens that it gets alone.
TEST_P(States, RandomCompanyChangesNothing) {
  std::mt19937 random(5);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
  };
  std::map<std::vector<int32_t>, std::vector<int32_t>> known;
  Engine engine = make_engine(14);
  int64_t n_reused = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<std::vector<int32_t>> prompts;
    std::vector<std::unique_ptr<Received>> received;
    for (int i = 0; i < 8; ++i) {
      std::vector<int32_t> prompt = text(between(10, 90), between(0, 1));
      if (!known.empty() && between(0, 1) == 0) {  // goes on where one ended
        const auto& [before, answer] = *std::next(known.begin(), between(0, 9) % known.size());
        prompt = before;
        prompt.insert(prompt.end(), answer.begin(), answer.end() - between(0, 3));
        prompt.resize(std::min<size_t>(prompt.size(), 100), 7);
        prompt.push_back(between(0, 100));
      }
      const int n = between(5, 30);
      received.push_back(std::make_unique<Received>());
      const int64_t id = engine.add(make_request(prompt, n, *received.back()));
      if (between(0, 5) == 0) {
        engine.step();
        engine.cancel(id);
      }
      prompts.push_back(prompt);
      for (int steps = between(0, 6); steps > 0; --steps) engine.step();
    }
    run_all(engine);
    for (size_t i = 0; i < prompts.size(); ++i) {
      std::vector<int32_t> expected = alone(prompts[i], 30);
      n_reused += received[i]->stats.reused_tokens;
      const auto n = static_cast<ptrdiff_t>(received[i]->ids.size());
      ASSERT_LE(n, 30);
      EXPECT_EQ(received[i]->ids, std::vector<int32_t>(expected.begin(), expected.begin() + n));
      known[prompts[i]] = std::move(expected);
    }
    EXPECT_EQ(engine.n_available_pages(), 14);
  }
  EXPECT_GT(n_reused, 300);
}

// What a step that failed has left in a slot is not kept.
TEST_P(States, AFailedStepLeavesNoState) {
  class Failing : public fixtures::ForwardingModel {
   public:
    using ForwardingModel::ForwardingModel;
    void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
      ForwardingModel::forward(batch, kv, logits);
      if (--left == 0) fail(ErrorCode::kDevice, "as asked");
    }
    int left = 0;
  };
  const std::vector<int32_t> prompt = text(60, 1);
  const std::vector<int32_t> expected = alone(prompt, 20);
  for (const int at : {2, 3, 4, 6, 9}) {
    Failing failing(*model_);
    failing.left = at;
    Engine engine(failing, nullptr, {}, {.kv_format = fixtures::kKvF32});
    Received failed;
    engine.add(make_request(prompt, 20, failed));
    run_all(engine);
    EXPECT_EQ(failed.finish, FinishReason::kError) << at;
    std::vector<int32_t> again = prompt;
    again.insert(again.end(), failed.ids.begin(), failed.ids.end());
    Received next;
    engine.add(make_request(again, 20 - static_cast<int>(failed.ids.size()), next));
    run_all(engine);
    failed.ids.insert(failed.ids.end(), next.ids.begin(), next.ids.end());
    EXPECT_EQ(failed.ids, expected) << at;
  }
}

TEST_P(States, CancelledRequestsGiveTheirSlotsBack) {
  Engine engine = make_engine(0);
  for (int round = 0; round < 12; ++round) {  // there are four slots
    Received received;
    const int64_t id = engine.add(make_request(text(30, round), 50, received));
    for (int step = 0; step < round % 5; ++step) engine.step();
    engine.cancel(id);
    run_all(engine);
    EXPECT_EQ(received.finish, FinishReason::kCancelled);
  }
  Received received;
  engine.add(make_request(text(30, 1), 9, received));
  run_all(engine);
  EXPECT_EQ(received.ids, alone(text(30, 1), 9));
}

TEST_P(States, AHostCacheIsRefusedByName) {
  fixtures::expect_error(ErrorCode::kUnsupported, {"--host-cache", "qwen3_5"}, [&] {
    Engine engine(*model_, nullptr, {},
                  {.kv_format = fixtures::kKvF32, .host_cache_bytes = int64_t{1} << 20});
  });
}

// Forks copy the state: each continuation scores what it scores by itself, in any company.
TEST_P(States, ForksGoOnByThemselves) {
  const std::vector<int32_t> context = text(37, 2);
  const std::vector<std::vector<int32_t>> continuations = {{3, 9, 7, 1}, {5, 60},      {8, 2, 2},
                                                           {7},          {3, 9, 7, 2}, {6, 6, 6}};
  CandidateScorer scorer(*model_, fixtures::kKvF32);
  for (int round = 0; round < 2; ++round) {
    const auto scores = scorer.score(context, continuations);
    for (size_t i = 0; i < continuations.size(); ++i) {
      CandidateScorer single(*model_, fixtures::kKvF32);
      const auto one = single.score(context, {&continuations[i], 1});
      EXPECT_EQ(scores[i].log_probability, one[0].log_probability) << i;
    }
    // The same tokens as one context: their product is what a single pass gives.
    std::vector<int32_t> all = context;
    all.insert(all.end(), continuations[0].begin(), continuations[0].end() - 1);
    double sum = 0;
    for (size_t n = 0; n < continuations[0].size(); ++n) {
      const std::vector<std::vector<int32_t>> next = {{continuations[0][n]}};
      const auto prefix = std::span(all).first(context.size() + n);
      sum += scorer.score(prefix, next)[0].log_probability;
    }
    EXPECT_NEAR(sum, scores[0].log_probability, 1e-4);
  }
}

}  // namespace
}  // namespace tq
