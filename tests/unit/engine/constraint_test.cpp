// Requests with constraints: what they sample, when they end, and that nobody else notices.
#include "engine/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/engine.h"
#include "grammar/matcher.h"
#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "unit/engine/choosing_toy.h"
#include "unit/engine/received.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::HasSubstr;

const EngineOptions kToyOptions = {.kv_format = fixtures::kKvF32};
const auto kTokenizer = std::make_shared<ToyTokenizer>();

class RegexConstraint : public Constraint {
 public:
  explicit RegexConstraint(const std::string& pattern)
      : matcher_(std::make_shared<TokenGrammar>(compile_regex(pattern),
                                                std::make_shared<const Vocabulary>(*kTokenizer))) {}
  void fill_mask(std::span<uint32_t> bits) override { matcher_.fill_mask(bits); }
  void accept(int32_t token) override {
    if (!matcher_.accept(token)) fail(ErrorCode::kInvalidArgument, "token {} is out", token);
  }
  bool may_end() const override { return matcher_.is_complete(); }
  bool must_end() const override { return may_end() && !matcher_.can_go_on(); }

 private:
  GrammarMatcher matcher_;
};

Request constrained(const std::string& pattern, int max_tokens, Received& received) {
  Request request = make_request({1, 2, 3}, max_tokens, received);
  request.constraint = std::make_shared<RegexConstraint>(pattern);
  return request;
}

// On the host and on a device.
class Constrained : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<ToyModel> make_model(const LoadOptions& options) const {
    if (GetParam()) return std::make_unique<ChoosingToy>(options);
    return std::make_unique<ToyModel>(options);
  }
  // What a request gives alone.
  Received run(Request request, Received& received, std::vector<int32_t> eos = {29}) {
    const auto model = make_model(limits(8, 2, 64));
    Engine engine(*model, kTokenizer, std::move(eos), kToyOptions);
    engine.add(std::move(request));
    while (engine.step()) {
    }
    return received;
  }
};

TEST_P(Constrained, AnswersAreOfTheGrammar) {
  const GrammarPtr grammar = compile_regex("(ab|ba)+ (x|yé)*");
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Received received;
    Request request = constrained("(ab|ba)+ (x|yé)*", 40, received);
    request.sampling.temperature = seed % 3 == 0 ? 0.0f : 3.0f;
    request.sampling.seed = seed;
    // Nothing makes another token possible.
    request.sampling.logit_bias = {{5, 100.0f}, {29, 2.0f}};
    request.sampling.repetition_penalty = 1.3f;
    run(std::move(request), received);
    if (received.finish == FinishReason::kStop) {
      EXPECT_TRUE(grammar->matches(received.text)) << received.text;
    } else {
      EXPECT_EQ(received.finish, FinishReason::kLength) << received.error;
      EXPECT_EQ(received.ids.size(), 40u);
    }
  }
}

TEST_P(Constrained, EndsWhereNothingCanFollow) {
  Received received;
  run(constrained("hello", 40, received), received);
  EXPECT_EQ(received.text, "hello");
  EXPECT_EQ(received.finish, FinishReason::kStop);
  EXPECT_EQ(received.stats.generated_tokens, 5);  // no end token was needed
  // Also where there is none, where it is ignored, where more is asked for, and at the limit.
  for (int variant = 0; variant < 4; ++variant) {
    Received other;
    Request request = constrained("hello", variant == 3 ? 5 : 40, other);
    request.sampling.ignore_eos = variant == 1;
    if (variant == 2) request.sampling.min_tokens = 9;
    run(std::move(request), other,
        variant == 0 ? std::vector<int32_t>{} : std::vector<int32_t>{29});
    EXPECT_EQ(other.text, "hello");
    EXPECT_EQ(other.finish, FinishReason::kStop) << variant;
  }
  Received empty;
  run(constrained("", 40, empty), empty);
  EXPECT_EQ(empty.text, "");
  EXPECT_EQ(empty.finish, FinishReason::kStop);
}

TEST_P(Constrained, EndTokensComeOnlyWhereItMayEnd) {
  for (const bool is_stop_id : {false, true}) {
    Received received;
    Request request = constrained("abc(d*)", 40, received);
    request.sampling.logit_bias = {{29, 90.0f}};  // it would end at once
    if (is_stop_id) request.sampling.stop_ids = {29};
    run(std::move(request), received,
        is_stop_id ? std::vector<int32_t>{} : std::vector<int32_t>{29});
    EXPECT_EQ(received.text, "abc");
    EXPECT_EQ(received.finish, FinishReason::kStop);
  }
  // A stop that is all that goes on ends the answer.
  Received whole;
  run(constrained("abc", 40, whole), whole);
  Received stopped;
  Request stops = constrained("abc", 40, stopped);
  stops.sampling.stop_ids = {whole.ids.at(2)};
  run(std::move(stops), stopped);
  EXPECT_EQ(stopped.text, "ab");
  EXPECT_EQ(stopped.finish, FinishReason::kStop) << stopped.error;
  Received longer;
  Request request = constrained("abc(d*)", 40, longer);
  request.sampling.logit_bias = {{29, 90.0f}};
  request.sampling.min_tokens = 6;
  run(std::move(request), longer);
  EXPECT_EQ(longer.text, "abcddd");
  Received ignored;
  request = constrained("abc(d*)", 9, ignored);
  request.sampling.logit_bias = {{29, 90.0f}};
  request.sampling.ignore_eos = true;
  run(std::move(request), ignored);
  EXPECT_EQ(ignored.text, "abcdddddd");
  EXPECT_EQ(ignored.finish, FinishReason::kLength);
}

TEST_P(Constrained, WhatNoTokenCanWriteIsAnError) {
  const auto model = make_model(limits(8, 3, 64));
  Engine engine(*model, kTokenizer, {29}, kToyOptions);
  Received stuck;
  Received other;
  Received free;
  engine.add(constrained("ab[0-9]", 40, stuck));  // the toy has no digits
  engine.add(constrained("a{20}", 40, other));
  Request unbound = make_request({4, 5}, 10, free);
  unbound.sampling.ignore_eos = true;
  engine.add(std::move(unbound));
  while (engine.step()) {
  }
  EXPECT_EQ(stuck.finish, FinishReason::kError);
  EXPECT_EQ(stuck.error_code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(stuck.error, HasSubstr("no token"));
  EXPECT_EQ(stuck.text, "ab");
  EXPECT_EQ(other.text, std::string(20, 'a'));
  EXPECT_EQ(free.ids, toy_greedy({4, 5}, 10, 30));
  EXPECT_EQ(engine.status().n_used_pages, 0);
}

TEST_P(Constrained, GivenTokensCount) {
  Received received;
  Request request = constrained("abcd", 40, received);
  request.prompt = {7, 0, 1};
  request.n_given = 2;
  run(std::move(request), received);
  EXPECT_EQ(received.text, "abcd");
  const auto model = make_model(limits(8, 2, 64));
  Engine engine(*model, kTokenizer, {29}, kToyOptions);
  request = constrained("abcd", 40, received);
  request.prompt = {7, 1};
  request.n_given = 1;
  expect_error(ErrorCode::kInvalidArgument, {"token 1"}, [&] { engine.add(std::move(request)); });
}

TEST_P(Constrained, LogprobsAreTheModels) {
  Received received;
  Request request = constrained("zz", 40, received);
  request.n_logprobs = 2;
  std::vector<TokenLogprob> first;
  request.on_output = [&](const Output& output) {
    if (first.empty()) first = output.logprobs;
  };
  run(std::move(request), received);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[0].id, 25);
  EXPECT_EQ(first[1].id, toy_greedy({1, 2, 3}, 1, 30)[0]);  // though it was not allowed
}

// In any company, and preempted however often, a request gets what it gets alone.
TEST_P(Constrained, CompanyChangesNothing) {
  int64_t n_preemptions = 0;
  std::mt19937 random(5);
  const std::vector<std::string> patterns = {"[a-f]+ [g-z]*", "(ab|c)*-", "x{3,30}y?", ".*"};
  for (int round = 0; round < 12; ++round) {
    const auto requests = [&](std::vector<Received>& received, uint32_t seed) {
      std::mt19937 draw(seed);
      std::vector<Request> all;
      for (size_t i = 0; i < received.size(); ++i) {
        Request request = make_request({}, 5 + static_cast<int>(draw() % 30), received[i]);
        const size_t n = 1 + draw() % 25;
        for (size_t k = 0; k < n; ++k) request.prompt.push_back(static_cast<int32_t>(draw() % 26));
        request.sampling.temperature = static_cast<float>(draw() % 2) * 2;
        request.sampling.seed = draw();
        if (i % 4 != 3) {
          request.constraint = std::make_shared<RegexConstraint>(patterns[draw() % 4]);
        }
        all.push_back(std::move(request));
      }
      return all;
    };
    const uint32_t seed = random();
    std::vector<Received> alone(7);
    for (size_t i = 0; i < alone.size(); ++i) {
      std::vector<Request> one = requests(alone, seed);
      run(std::move(one[i]), alone[i]);
    }
    std::vector<Received> together(alone.size());
    const auto model = make_model(limits(6, 4, 64));
    Engine engine(*model, kTokenizer, {29}, {.kv_format = fixtures::kKvF32, .n_pages = 5});
    for (Request& request : requests(together, seed)) engine.add(std::move(request));
    while (engine.step()) {
    }
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(together[i].ids, alone[i].ids);
      EXPECT_EQ(together[i].finish, alone[i].finish);
    }
    n_preemptions += engine.status().preemptions;
  }
  EXPECT_GT(n_preemptions, 0);
}

INSTANTIATE_TEST_SUITE_P(HostAndDevice, Constrained, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Device" : "Host"; });

}  // namespace
}  // namespace tq
