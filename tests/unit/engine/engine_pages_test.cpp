// What requests share, and what becomes of their pages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine.h"
#include "support/kv_formats.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

// Sampling with penalties draws what it draws alone, also where a sequence had to begin anew.
TEST(EnginePages, PreemptionChangesNothing) {
  const auto run = [](int64_t n_pages, const std::vector<std::vector<int32_t>>& prompts) {
    ToyModel model(limits(32, 4, 100), /*window=*/10);
    Engine engine(model, std::make_shared<ToyTokenizer>(), {},
                  {.kv_format = fixtures::kKvF32, .n_pages = n_pages});
    std::vector<std::unique_ptr<Received>> received;
    for (const std::vector<int32_t>& prompt : prompts) {
      received.push_back(std::make_unique<Received>());
      Request request = make_request(prompt, 60, *received.back());
      request.sampling.temperature = 2;
      request.sampling.frequency_penalty = 1;
      request.sampling.repetition_penalty = 1.1f;
      request.sampling.seed = static_cast<uint64_t>(prompt[0]);
      engine.add(std::move(request));
    }
    run_all(engine);
    EXPECT_EQ(engine.n_available_pages(), n_pages);
    return received;
  };
  const std::vector<std::vector<int32_t>> prompts = {{1, 2, 3}, {2, 3}, {3}, {4, 4, 4, 4}};
  const auto together = run(8, prompts);
  int64_t n_preemptions = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto alone = run(32, {prompts[i]});
    EXPECT_EQ(together[i]->finish, FinishReason::kLength);
    EXPECT_EQ(together[i]->ids, alone[0]->ids);
    EXPECT_EQ(together[i]->text, alone[0]->text);
    EXPECT_EQ(together[i]->stats.generated_tokens, 60);
    EXPECT_EQ(together[i]->stats.prompt_tokens, static_cast<int64_t>(prompts[i].size()));
    n_preemptions += together[i]->stats.preemptions;
  }
  EXPECT_GT(n_preemptions, 0);
  EXPECT_EQ(together[0]->stats.preemptions, 0) << "the first came first";
}

// How far a prompt is is told once, not again by a sequence that begins anew.
TEST(EnginePages, APreemptedAnswerIsNoPrompt) {
  ToyModel model(limits(16, 2, 100));
  Engine engine(model, nullptr, {}, {.kv_format = fixtures::kKvF32, .n_pages = 7});
  Received first;
  Received second;
  engine.add(make_request(std::vector<int32_t>(10, 1), 80, first));
  Request request = make_request(std::vector<int32_t>(20, 2), 60, second);
  int n_told = 0;
  request.on_prefill = [&](int64_t done, int64_t total) {
    EXPECT_LT(done, total);
    ++n_told;
  };
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_GT(second.stats.preemptions, 0);
  EXPECT_EQ(n_told, 2) << "before it begins, and after its first 15 tokens";
}

TEST(EnginePages, CancelGivesPagesBack) {
  ToyModel model(limits(8, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  const int64_t n_pages = engine.n_available_pages();
  Received first;
  Received second;
  const int64_t id = engine.add(make_request({1}, 40, first));
  engine.add(make_request({2}, 5, second));
  engine.step();
  engine.step();
  EXPECT_LT(engine.n_available_pages(), n_pages);
  engine.cancel(id);
  engine.cancel(12345);  // unknown: ignored
  run_all(engine);
  EXPECT_EQ(first.finish, FinishReason::kCancelled);
  EXPECT_EQ(first.ids.size(), 2u);
  EXPECT_EQ(second.finish, FinishReason::kLength);
  EXPECT_EQ(engine.n_available_pages(), n_pages);
}

TEST(EnginePages, AConversationGoesOnAfterADeviceError) {
  ToyModel model(limits(64, 1, 128));
  Engine engine(model, nullptr, {}, kF32);
  const auto ask = [&](const std::vector<int32_t>& prompt) {
    Received received;
    engine.add(make_request(prompt, 4, received));
    run_all(engine);
    return received;
  };
  model.broken_step = 3;
  const Received broken = ask({1, 2, 3});
  EXPECT_EQ(broken.finish, FinishReason::kError);
  const Received again = ask({1, 2, 3});
  EXPECT_EQ(again.stats.reused_tokens, 2);
  EXPECT_EQ(again.ids, toy_greedy({1, 2, 3}, 4, kToyVocab));
}

// A conversation: each prompt begins with the last one and its answer.
TEST(EnginePages, WhatWasSaidIsNotComputedAgain) {
  ToyModel model(limits(64, 1, 128), /*window=*/8);
  Engine engine(model, nullptr, {}, kF32);
  const int64_t n_pages = engine.n_available_pages();
  const auto ask = [&](const std::vector<int32_t>& prompt, int n) {
    Received received;
    const int64_t n_reusable = engine.n_reusable(prompt);
    engine.add(make_request(prompt, n, received));
    run_all(engine);
    EXPECT_EQ(received.ids, toy_greedy(prompt, n, kToyVocab));
    EXPECT_EQ(received.stats.reused_tokens, n_reusable);
    return received;
  };
  std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
  const Received first = ask(prompt, 4);
  EXPECT_EQ(first.stats.reused_tokens, 0);

  prompt.insert(prompt.end(), first.ids.begin(), first.ids.end());
  prompt.push_back(20);
  EXPECT_EQ(ask(prompt, 30).stats.reused_tokens, 18 + 3) << "the last token was never run";

  // Another continuation of the same beginning, from the last full page before it; then the same
  // prompt once more.
  prompt.resize(19);
  prompt.push_back(30);
  EXPECT_EQ(ask(prompt, 40).stats.reused_tokens, 16);
  EXPECT_EQ(ask(prompt, 2).stats.reused_tokens, 16);
  EXPECT_EQ(ask(prompt, 2).stats.reused_tokens, 19) << "it ended within the page: all but the last";
  EXPECT_EQ(ask({25, 1}, 2).stats.reused_tokens, 0);
  EXPECT_EQ(engine.n_available_pages(), n_pages) << "what is kept is nobody's";
}

// Conversations in turn, of which the pages hold one at a time.
TEST(EnginePages, WhatHadToGoComesBackFromHostMemory) {
  for (const int64_t window : {0, 20}) {
    for (const int64_t host_bytes : {int64_t{0}, int64_t{1} << 20}) {
      ToyModel model(limits(16, 2, 160), window);
      Engine engine(model, nullptr, {},
                    {.kv_format = fixtures::kKvF32, .n_pages = 10, .host_cache_bytes = host_bytes});
      std::vector<std::vector<int32_t>> said = {{1, 2}, {3, 4}, {5, 6}};
      int64_t n_reused = 0;
      int64_t n_said = 0;
      for (int turn = 0; turn < 8; ++turn) {
        for (std::vector<int32_t>& prompt : said) {
          Received received;
          engine.add(make_request(prompt, 16, received));
          run_all(engine);
          ASSERT_EQ(received.ids, toy_greedy(prompt, 16, kToyVocab));
          n_said += static_cast<int64_t>(prompt.size());
          n_reused += received.stats.reused_tokens;
          prompt.insert(prompt.end(), received.ids.begin(), received.ids.end());
        }
      }
      if (host_bytes == 0) {
        EXPECT_LT(n_reused, n_said / 2);
      } else {
        EXPECT_GT(n_reused, n_said * 2 / 3);
        EXPECT_GT(engine.status().host_cache_bytes, 0);
      }
    }
  }
}

// Many at a time, who are preempted; what they say does not depend on it.
TEST(EnginePages, PreemptionAndHostMemoryGoTogether) {
  ToyModel model(limits(24, 6, 160), /*window=*/20);
  Engine engine(model, nullptr, {},
                {.kv_format = fixtures::kKvF32, .n_pages = 14, .host_cache_bytes = 4000});
  int64_t n_preempted = 0;
  for (int round = 0; round < 6; ++round) {
    std::vector<Received> received(8);
    std::vector<std::vector<int32_t>> prompts;
    for (int i = 0; i < 8; ++i) {
      prompts.emplace_back(40, 1 + i % 3);
      prompts.back().push_back(10 + i);
      engine.add(make_request(prompts.back(), 30 + 5 * i, received[static_cast<size_t>(i)]));
    }
    run_all(engine);
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(received[i].ids, toy_greedy(prompts[i], 30 + 5 * static_cast<int>(i), kToyVocab));
      n_preempted += received[i].stats.preemptions;
    }
  }
  EXPECT_GT(n_preempted, 0);
}

TEST(EnginePages, RequestsShareWhatTheyBeginWith) {
  ToyModel model(limits(256, 4, 200));
  Engine engine(model, nullptr, {}, {.kv_format = fixtures::kKvF32, .n_pages = 24});
  const std::vector<int32_t> common(100, 3);
  std::vector<std::unique_ptr<Received>> received;
  for (int32_t i = 0; i < 4; ++i) {
    std::vector<int32_t> prompt = common;
    prompt.push_back(i);
    received.push_back(std::make_unique<Received>());
    engine.add(make_request(prompt, 10, *received.back()));
    engine.step();
  }
  // 6 full pages once, 1 of its own for each.
  EXPECT_EQ(engine.n_available_pages(), 24 - 6 - 4);
  run_all(engine);
  for (int32_t i = 0; i < 4; ++i) {
    std::vector<int32_t> prompt = common;
    prompt.push_back(i);
    const Received& got = *received[static_cast<size_t>(i)];
    EXPECT_EQ(got.ids, toy_greedy(prompt, 10, kToyVocab));
    EXPECT_EQ(got.stats.reused_tokens, i == 0 ? 0 : 96);
  }
}

// How many tokens a toy has run.
int64_t n_run(const ToyModel& model) {
  int64_t n = 0;
  for (const auto& step : model.steps) {
    for (const ToyModel::Run& run : step) n += run.n_tokens;
  }
  return n;
}

// Conversations that begin with the same 2000 tokens and have 16 of their own, all there at once.
class CommonBeginning : public testing::Test {
 protected:
  static constexpr int kConversations = 64;
  static constexpr int kOwn = 16;

  std::vector<int32_t> prompt_of(int i) const {
    std::vector<int32_t> prompt(2000);
    for (size_t j = 0; j < prompt.size(); ++j) prompt[j] = static_cast<int32_t>(j * j % 31);
    prompt.insert(prompt.end(), kOwn, static_cast<int32_t>(i % 31));
    prompt.back() = static_cast<int32_t>(i / 31);
    return prompt;
  }
  void add_all() {
    for (int i = 0; i < kConversations; ++i) {
      numbers_.push_back(engine_.add(make_request(prompt_of(i), 1, received_[at(i)])));
    }
  }
  void expect_answer(int i) const {
    EXPECT_EQ(received_[at(i)].finish, FinishReason::kLength);
    EXPECT_EQ(received_[at(i)].ids, toy_greedy(prompt_of(i), 1, kToyVocab));
  }
  static size_t at(int i) { return static_cast<size_t>(i); }

  ToyModel model_{limits(512, kConversations, 2048), /*window=*/512};
  Engine engine_{model_, nullptr, {}, kF32};
  std::vector<Received> received_{kConversations};
  std::vector<int64_t> numbers_;
};

TEST_F(CommonBeginning, IsComputedOnce) {
  add_all();
  run_all(engine_);
  EXPECT_EQ(n_run(model_), 2000 + kConversations * kOwn) << "2 % of the prompts";
  for (int i = 0; i < kConversations; ++i) expect_answer(i);
}

TEST_F(CommonBeginning, IsTakenOverWhenTheFirstIsCancelled) {
  add_all();
  engine_.step();
  engine_.step();
  engine_.cancel(numbers_[0]);
  run_all(engine_);
  EXPECT_EQ(received_[0].finish, FinishReason::kCancelled);
  EXPECT_EQ(n_run(model_), 2000 + (kConversations - 1) * kOwn);
  for (int i = 1; i < kConversations; ++i) expect_answer(i);
}

TEST_F(CommonBeginning, IsTakenOverWhenTheFirstFails) {
  model_.broken_step = 3;
  add_all();
  run_all(engine_);
  EXPECT_EQ(received_[0].finish, FinishReason::kError);
  EXPECT_EQ(n_run(model_), 2000 + (kConversations - 1) * kOwn);
  for (int i = 1; i < kConversations; ++i) expect_answer(i);
}

}  // namespace
}  // namespace tq
