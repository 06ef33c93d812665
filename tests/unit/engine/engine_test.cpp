#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Engine, OneRequestInChunks) {
  ToyModel model(limits(4, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received received;
  const std::vector<int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  engine.add(make_request(prompt, 6, received));
  run_all(engine);
  EXPECT_EQ(received.ids, toy_greedy(prompt, 6, kToyVocab));
  EXPECT_EQ(received.finish, FinishReason::kLength);
  EXPECT_EQ(received.stats.prompt_tokens, 9);
  EXPECT_EQ(received.stats.generated_tokens, 6);
  EXPECT_EQ(model.steps.size(), 3u + 5u);  // chunks of 4, 4, 1, then the tokens after the first
  EXPECT_EQ(received.text, "");
  EXPECT_FALSE(engine.step());
}

TEST(Engine, PaddingRowsAreNeverSampled) {
  ToyModel model(limits(8, 1, 64));
  Engine engine(model, std::make_shared<ToyTokenizer>(), {}, kF32);
  Received received;
  Request request = make_request({1}, 50, received);
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(received.ids, toy_greedy({1}, 50, 30));  // the tokenizer knows 30 of 40
}

TEST(Engine, SuppressedIdsAreNeverSampled) {
  ToyModel model(limits(8, 1, 64));
  const std::vector<int32_t> free = toy_greedy({1}, 50, kToyVocab);
  EngineOptions options = kF32;
  options.suppressed_ids = {free[0], free[1], kToyVocab, -1};  // ids the model lacks do no harm
  Engine engine(model, nullptr, {}, options);
  for (const float temperature : {0.0f, 9.0f}) {
    Received received;
    Request request = make_request({1}, 50, received);
    request.sampling.temperature = temperature;
    engine.add(std::move(request));
    run_all(engine);
    EXPECT_EQ(received.finish, FinishReason::kLength);
    EXPECT_THAT(received.ids, ::testing::Not(::testing::Contains(free[0])));
    EXPECT_THAT(received.ids, ::testing::Not(::testing::Contains(free[1])));
  }
}

TEST(Engine, SpecialTokensAreHiddenUnlessShown) {
  ToyModel model(limits(8, 1, 64));
  const auto tokenizer = std::make_shared<ToyTokenizer>();
  Engine engine(model, tokenizer, {}, kF32);
  for (const bool shown : {false, true}) {
    Received received;
    Request request = make_request({1, 2}, 40, received);
    request.sampling.logit_bias = {{ToyTokenizer::kSpecial, 7.0f}};
    if (shown) request.shown_ids = {ToyTokenizer::kSpecial};
    engine.add(std::move(request));
    run_all(engine);
    EXPECT_EQ(received.text, tokenizer->decode(received.ids, !shown));
    EXPECT_THAT(received.ids, ::testing::Contains(ToyTokenizer::kSpecial));
  }
}

// Random loads: whatever is batched with whatever, shares whatever and is preempted however often,
// every request gets the tokens it would get alone, once, and no page is lost.
TEST(Engine, BatchingChangesNothing) {
  int64_t n_reused = 0;
  int64_t n_preemptions = 0;
  std::mt19937 random(3);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
  };
  for (int round = 0; round < 60; ++round) {
    const int64_t batch = between(1, 40);
    const int64_t max_sequences = between(1, 6);
    ToyModel model(limits(batch, max_sequences, 100), round % 3 == 0 ? 0 : between(1, 40));
    const int64_t n_pages = between(7, 12);  // a full context needs 7
    Engine engine(model, nullptr, {}, {.kv_format = fixtures::kKvF32, .n_pages = n_pages});
    std::map<int64_t, std::vector<int32_t>> expected;
    std::vector<std::unique_ptr<Received>> received;
    std::vector<int64_t> ids;
    std::set<int64_t> cancelled;
    const int n_requests = between(1, 12);
    do {
      if (static_cast<int>(ids.size()) < n_requests && between(0, 2) > 0) {
        std::vector<int32_t> prompt(static_cast<size_t>(between(1, 60)));
        const size_t n_common = static_cast<size_t>(between(0, 60));
        for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = i < n_common ? 7 : between(0, 30);
        const int n = between(1, 40);
        received.push_back(std::make_unique<Received>());
        const int64_t id = engine.add(make_request(prompt, n, *received.back()));
        ids.push_back(id);
        expected[id] = toy_greedy(prompt, n, kToyVocab);
      }
      if (!ids.empty() && between(0, 30) == 0) {
        cancelled.insert(ids.back());
        engine.cancel(ids.back());
      }
      engine.step();
      if (!model.steps.empty()) {
        int64_t n_tokens = 0;
        for (const ToyModel::Run& run : model.steps.back()) n_tokens += run.n_tokens;
        ASSERT_LE(n_tokens, batch);
        ASSERT_LE(static_cast<int64_t>(model.steps.back().size()), max_sequences);
      }
    } while (static_cast<int>(ids.size()) < n_requests || engine.step());
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto& want = expected[ids[i]];
      const Received& got = *received[i];
      ASSERT_EQ(got.n_finished, 1);
      if (got.finish == FinishReason::kCancelled) {
        ASSERT_TRUE(cancelled.contains(ids[i]));
        ASSERT_LE(got.ids.size(), want.size());
        ASSERT_TRUE(std::equal(got.ids.begin(), got.ids.end(), want.begin()));
      } else {
        ASSERT_EQ(got.finish, FinishReason::kLength);
        ASSERT_EQ(got.ids, want);
      }
      n_reused += got.stats.reused_tokens;
      n_preemptions += got.stats.preemptions;
    }
    ASSERT_EQ(engine.n_available_pages(), n_pages);
  }
  EXPECT_GT(n_reused, 1000) << "next to nothing was shared";
  EXPECT_GT(n_preemptions, 20) << "next to nobody was preempted";
}

TEST(Engine, EndIdsStopAndAreNotPartOfTheOutput) {
  ToyModel model(limits(8, 1, 64));
  const std::vector<int32_t> all = toy_greedy({3, 4}, 10, kToyVocab);
  const int32_t end = all[5];
  const auto first = static_cast<size_t>(std::find(all.begin(), all.end(), end) - all.begin());
  const std::vector<int32_t> before(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first));

  Engine engine(model, nullptr, {end}, kF32);
  Received by_eos;
  engine.add(make_request({3, 4}, 10, by_eos));
  run_all(engine);
  EXPECT_EQ(by_eos.ids, before);
  EXPECT_EQ(by_eos.finish, FinishReason::kStop);
  EXPECT_EQ(by_eos.stats.generated_tokens, static_cast<int64_t>(first) + 1);

  Received ignored;
  Request request = make_request({3, 4}, 10, ignored);
  request.sampling.ignore_eos = true;
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(ignored.ids, all);

  Engine no_eos(model, nullptr, {}, kF32);
  Received by_id;
  request = make_request({3, 4}, 10, by_id);
  request.sampling.stop_ids = {end};
  no_eos.add(std::move(request));
  run_all(no_eos);
  EXPECT_EQ(by_id.ids, before);
  EXPECT_EQ(by_id.finish, FinishReason::kStop);
}

TEST(Engine, StopTextsAcrossTokens) {
  ToyModel model(limits(8, 1, 64));
  const auto tokenizer = std::make_shared<ToyTokenizer>();
  const std::string all = tokenizer->decode(toy_greedy({1, 2}, 20, 30), true);
  // A text of three letters from the middle, so that it crosses tokens.
  const std::string stop = all.substr(7, 3);
  Engine engine(model, tokenizer, {}, kF32);
  Received received;
  Request request = make_request({1, 2}, 20, received);
  request.sampling.stop = {"nowhere", stop};
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(received.text, all.substr(0, all.find(stop)));
  EXPECT_EQ(received.finish, FinishReason::kStop);
  EXPECT_LT(received.ids.size(), 20u);
}

TEST(Engine, NothingEndsAnAnswerBeforeItsLeastLength) {
  ToyModel model(limits(8, 1, 64));
  const auto tokenizer = std::make_shared<ToyTokenizer>();
  const std::vector<int32_t> free = toy_greedy({1, 2}, 8, 30);
  Engine engine(model, tokenizer, {free[0]}, kF32);
  Received received;
  Request request = make_request({1, 2}, 8, received);
  request.sampling.min_tokens = 3;
  request.sampling.stop_ids = {free[1]};
  request.sampling.logit_bias = {{free[0], 1.0f}};  // and what is biased anyway
  engine.add(std::move(request));
  run_all(engine);
  ASSERT_GE(received.ids.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NE(received.ids[i], free[0]);
    EXPECT_NE(received.ids[i], free[1]);
  }
  // Stop texts, likewise: this one begins what is said.
  const std::string all = tokenizer->decode(free, true);
  Engine endless(model, tokenizer, {}, kF32);
  Received text;
  request = make_request({1, 2}, 8, text);
  request.sampling.stop = {all.substr(0, 1)};
  request.sampling.min_tokens = 2;
  endless.add(std::move(request));
  run_all(endless);
  EXPECT_GE(text.ids.size(), 2u);
  EXPECT_TRUE(text.text.starts_with(all.substr(0, 1)));
}

TEST(Engine, LogProbabilitiesAreThoseOfTheLogits) {
  ToyModel model(limits(8, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received plain;
  engine.add(make_request({1, 2}, 4, plain));
  std::vector<Output> outputs;
  Request request;
  request.prompt = {1, 2};
  request.sampling.max_tokens = 4;
  request.sampling.temperature = 5;
  request.sampling.seed = 3;
  request.n_logprobs = 2;
  request.on_output = [&](const Output& output) { outputs.push_back(output); };
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(plain.ids, toy_greedy({1, 2}, 4, kToyVocab));  // whose neighbour asked for them
  ASSERT_EQ(outputs.size(), 4u);
  std::vector<int32_t> history = {1, 2};
  for (const Output& output : outputs) {
    double sum = 0;
    for (int32_t id = 0; id < kToyVocab; ++id) sum += std::exp(toy_logit(history, id));
    ASSERT_EQ(output.logprobs.size(), 3u);
    EXPECT_EQ(output.logprobs[0].id, *output.token);
    EXPECT_EQ(output.logprobs[1].id, toy_greedy(history, 1, kToyVocab)[0]);
    for (const TokenLogprob& token : output.logprobs) {
      EXPECT_NEAR(token.logprob, toy_logit(history, token.id) - std::log(sum), 1e-4);
    }
    EXPECT_GE(output.logprobs[1].logprob, output.logprobs[2].logprob);
    history.push_back(*output.token);
  }
}

TEST(Engine, TellsWhatItIsAt) {
  ToyModel model(limits(8, 1, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received first;
  Received second;
  engine.add(make_request({1, 2, 3}, 4, first));
  engine.add(make_request({4}, 2, second));
  engine.step();
  EXPECT_EQ(engine.status().n_running, 1);
  EXPECT_EQ(engine.status().n_waiting, 1);
  EXPECT_EQ(engine.status().n_used_pages, 1);
  run_all(engine);
  const EngineStatus status = engine.status();
  EXPECT_EQ(status.n_running + status.n_waiting + status.n_used_pages, 0);
  EXPECT_EQ(status.prompt_tokens, 4);
  EXPECT_EQ(status.generated_tokens, 6);
  EXPECT_EQ(status.steps, 6);
  EXPECT_GT(second.stats.queue_seconds, 0);
}

TEST(Engine, CountsWhatWasComputedForThoseWhoGo) {
  ToyModel model(limits(8, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received gone;
  const int64_t request = engine.add(make_request(std::vector<int32_t>(20, 3), 4, gone));
  engine.step();
  engine.cancel(request);
  run_all(engine);
  EXPECT_EQ(gone.finish, FinishReason::kCancelled);
  EXPECT_EQ(engine.status().prompt_tokens, 8) << "one step of its prompt";

  Received again;
  engine.add(make_request(std::vector<int32_t>(20, 3), 4, again));
  run_all(engine);
  EXPECT_EQ(engine.status().prompt_tokens, 28);
  EXPECT_EQ(engine.status().reused_tokens, again.stats.reused_tokens);
  EXPECT_EQ(again.stats.reused_tokens, 8);
  EXPECT_EQ(engine.status().generated_tokens, 4);
}

TEST(Engine, TextHeldBackComesOutAtTheEnd) {
  ToyModel model(limits(8, 1, 64));
  const auto tokenizer = std::make_shared<ToyTokenizer>();
  const std::string all = tokenizer->decode(toy_greedy({1, 2}, 6, 30), true);
  Engine engine(model, tokenizer, {}, kF32);
  Received received;
  Request request = make_request({1, 2}, 6, received);
  request.sampling.stop = {all + "x"};
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(received.text, all);
  EXPECT_EQ(received.finish, FinishReason::kLength);
}

TEST(Engine, BrokenLogitsEndTheirRequestOnly) {
  ToyModel model(limits(16, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  const int64_t n_pages = engine.n_available_pages();
  Received broken;
  Received sound;
  engine.add(make_request({1, kToyNan}, 5, broken));
  engine.add(make_request({1, 2}, 5, sound));
  run_all(engine);
  EXPECT_EQ(broken.finish, FinishReason::kError);
  EXPECT_THAT(broken.error, HasSubstr("nan"));
  EXPECT_THAT(broken.ids, IsEmpty());
  EXPECT_EQ(sound.ids, toy_greedy({1, 2}, 5, kToyVocab));
  EXPECT_EQ(engine.n_available_pages(), n_pages);
}

TEST(Engine, ADeviceErrorEndsTheRequestsOfItsStep) {
  ToyModel model(limits(16, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  const int64_t n_pages = engine.n_available_pages();
  Received first;
  Received second;
  Received waiting;
  engine.add(make_request({1, 2}, 5, first));
  engine.add(make_request({3}, 5, second));
  engine.add(make_request({4, 5}, 5, waiting));  // for one of the two places
  model.broken_step = 3;
  run_all(engine);
  for (const Received* broken : {&first, &second}) {
    EXPECT_EQ(broken->finish, FinishReason::kError);
    EXPECT_EQ(broken->error, "the toy broke");
    EXPECT_EQ(broken->error_code, ErrorCode::kDevice);
    EXPECT_EQ(broken->ids.size(), 2u);
  }
  EXPECT_EQ(waiting.finish, FinishReason::kLength);
  EXPECT_EQ(waiting.ids, toy_greedy({4, 5}, 5, kToyVocab));
  EXPECT_EQ(engine.n_available_pages(), n_pages);
}

TEST(Engine, CallbacksMayAddCancelAndThrow) {
  ToyModel model(limits(8, 2, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received later;
  Request request;
  request.prompt = {1};
  request.sampling.max_tokens = 3;
  bool added = false;
  request.on_output = [&](const Output&) {
    if (!std::exchange(added, true)) engine.add(make_request({5}, 4, later));
  };
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_EQ(later.ids, toy_greedy({5}, 4, kToyVocab));

  request = {};
  request.prompt = {1};
  request.sampling.max_tokens = 3;
  request.on_output = [](const Output&) { throw std::runtime_error("stdout is gone"); };
  const int64_t id = engine.add(std::move(request));
  EXPECT_THROW(engine.step(), std::runtime_error);
  engine.cancel(id);
  EXPECT_THROW(run_all(engine), std::runtime_error);
  EXPECT_FALSE(engine.step());
}

// The same ids and the same text as if it had not been cut, sampled with penalties and without.
TEST(Engine, AnAnswerThatWasCutGoesOn) {
  const std::vector<int32_t> prompt = {1, 2, 3};
  for (const float temperature : {0.0f, 2.0f}) {
    ToyModel model(limits(8, 1, 64));
    Engine engine(model, std::make_shared<ToyTokenizer>(), {}, kF32);
    const auto run = [&](size_t n_given, const std::vector<int32_t>& given, int n) {
      Received received;
      std::vector<int32_t> ids = prompt;
      ids.insert(ids.end(), given.begin(), given.begin() + static_cast<std::ptrdiff_t>(n_given));
      Request request = make_request(std::move(ids), n, received);
      request.n_given = static_cast<int64_t>(n_given);
      request.sampling.temperature = temperature;
      request.sampling.frequency_penalty = 2;
      request.sampling.seed = 5;
      engine.add(std::move(request));
      run_all(engine);
      EXPECT_EQ(received.stats.generated_tokens, n);
      return received;
    };
    const Received whole = run(0, {}, 20);
    for (const size_t n : {1, 7, 19}) {
      const Received rest = run(n, whole.ids, 20 - static_cast<int>(n));
      EXPECT_EQ(rest.ids, std::vector<int32_t>(whole.ids.begin() + static_cast<std::ptrdiff_t>(n),
                                               whole.ids.end()));
      EXPECT_EQ(rest.text, whole.text);
    }
  }
}

TEST(Engine, TellsHowFarAPromptIs) {
  ToyModel model(limits(4, 1, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received received;
  std::vector<std::pair<int64_t, int64_t>> seen;
  Request request = make_request({1, 2, 3, 4, 5, 6, 7, 8, 9}, 3, received);
  request.on_prefill = [&](int64_t done, int64_t total) { seen.emplace_back(done, total); };
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_THAT(seen, ElementsAre(std::pair(0, 9), std::pair(4, 9), std::pair(8, 9)));
}

TEST(Engine, TellsWhatOfAPromptIsThereBeforeItIsComputed) {
  ToyModel model(limits(8, 1, 64));
  Engine engine(model, nullptr, {}, kF32);
  Received received;
  engine.add(make_request(std::vector<int32_t>(18, 1), 1, received));
  run_all(engine);
  std::vector<std::pair<int64_t, int64_t>> seen;
  const size_t n_steps = model.steps.size();
  Request request = make_request(std::vector<int32_t>(30, 1), 1, received = {});
  request.on_prefill = [&](int64_t done, int64_t total) {
    if (seen.empty()) {
      EXPECT_EQ(model.steps.size(), n_steps);
    }
    seen.emplace_back(done, total);
  };
  engine.add(std::move(request));
  run_all(engine);
  EXPECT_THAT(seen, ElementsAre(std::pair(18, 30), std::pair(26, 30)));
}

TEST(Engine, RefusesImpossibleRequests) {
  ToyModel model(limits(8, 1, 32));
  Engine engine(model, nullptr, {}, kF32);
  const auto add = [&](const Request& request) {
    return [&engine, request] { engine.add(request); };
  };
  Request request;
  expect_error(ErrorCode::kInvalidArgument, {"prompt is empty"}, add(request));
  request.prompt.assign(30, 1);
  request.sampling.max_tokens = 3;
  expect_error(ErrorCode::kInvalidArgument, {"30", "33", "context of 32"}, add(request));
  request.sampling.max_tokens = 2;
  EXPECT_NO_THROW(engine.add(request));
  request.prompt = {1, kToyVocab};
  expect_error(ErrorCode::kInvalidArgument, {"token id 40", "0 to 39"}, add(request));
  request.prompt = {-1};
  expect_error(ErrorCode::kInvalidArgument, {"token id -1"}, add(request));
  request.prompt = {1};
  request.sampling.stop = {"x"};
  expect_error(ErrorCode::kInvalidArgument, {"tokenizer"}, add(request));
  request.sampling.stop.clear();
  request.sampling.temperature = -1;
  expect_error(ErrorCode::kInvalidArgument, {"temperature"}, add(request));
  request.sampling.temperature = 0;
  request.n_given = 1;
  expect_error(ErrorCode::kInvalidArgument, {"1 ids of a prompt of 1"}, add(request));

  ToyModel large(limits(8, 1, 320));
  Engine few_pages(large, nullptr, {}, {.kv_format = fixtures::kKvF32, .n_pages = 2});
  request = {};
  request.prompt.assign(30, 1);
  request.sampling.max_tokens = 4;
  expect_error(ErrorCode::kInvalidArgument, {"3 KV pages", "2 in all"},
               [&] { few_pages.add(request); });
}

}  // namespace
}  // namespace tq
