#include "session/follow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/kv_formats.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using ::testing::ElementsAre;

class FollowTest : public testing::Test {
 protected:
  static Request request_of(std::vector<int32_t> prompt, int max_tokens) {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling.max_tokens = max_tokens;
    return request;
  }
  // What a request gives, whose end must come.
  std::vector<int32_t> answer(std::vector<int32_t> prompt, int max_tokens) {
    std::vector<int32_t> ids;
    FinishReason finish = FinishReason::kNone;
    Follower follower;
    follower.on_output = [&](const Output& output) {
      EXPECT_EQ(std::this_thread::get_id(), thread_);
      if (output.token) ids.push_back(*output.token);
      finish = output.finish;
    };
    follow(service_, request_of(std::move(prompt), max_tokens), follower);
    EXPECT_EQ(finish, FinishReason::kLength);
    return ids;
  }
  // So that an answer of many tokens takes long enough to be stopped.
  void go_slowly() {
    model_.before_step = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  }

  const std::thread::id thread_ = std::this_thread::get_id();
  ToyModel model_{limits(8, 3, 1000)};
  Service service_{model_, nullptr, std::vector<int32_t>{},
                   EngineOptions{.kv_format = fixtures::kKvF32}};
};

TEST_F(FollowTest, TellsAllInOrderOnTheCallersThread) {
  EXPECT_EQ(answer({1, 2, 3}, 20), toy_greedy({1, 2, 3}, 20, kToyVocab));
  std::vector<std::pair<int64_t, int64_t>> seen;
  Follower follower;
  follower.on_prefill = [&](int64_t done, int64_t total) {
    EXPECT_EQ(std::this_thread::get_id(), thread_);
    seen.emplace_back(done, total);
  };
  follow(service_, request_of(std::vector<int32_t>(20, 7), 1), follower);
  EXPECT_THAT(seen, ElementsAre(std::pair(0, 20), std::pair(8, 20), std::pair(16, 20)));
}

TEST_F(FollowTest, WhatIsStoppedEndsAsCancelled) {
  go_slowly();
  int n_told = 0;
  FinishReason finish = FinishReason::kNone;
  Follower follower;
  follower.on_output = [&](const Output& output) {
    ++n_told;
    finish = output.finish;
  };
  follower.stops = [&] { return n_told >= 3; };
  follow(service_, request_of({1}, 900), follower);
  EXPECT_EQ(finish, FinishReason::kCancelled);
  EXPECT_GE(n_told, 4);
  EXPECT_EQ(service_.status().engine.n_running, 0);
}

// The engine is kept in a step until somebody asks again.
TEST_F(FollowTest, IsAskedWhetherToStopWhileNothingComes) {
  std::atomic<int> n_asked = 0;
  FinishReason finish = FinishReason::kNone;
  model_.before_step = [&] {
    while (n_asked < 3) std::this_thread::yield();
  };
  Follower follower;
  follower.on_output = [&](const Output& output) { finish = output.finish; };
  follower.stops = [&] { return ++n_asked >= 3; };
  follow(service_, request_of({1}, 900), follower);
  EXPECT_EQ(finish, FinishReason::kCancelled);
  EXPECT_EQ(n_asked, 3) << "asked again after it was cancelled";
}

TEST_F(FollowTest, WhatTheFollowerThrowsEndsTheRequestFirst) {
  go_slowly();
  int n_told = 0;
  Follower follower;
  follower.on_output = [&](const Output&) {
    ++n_told;
    fail(ErrorCode::kIo, "nobody reads it");
  };
  try {
    follow(service_, request_of({1}, 900), follower);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
  }
  EXPECT_EQ(n_told, 1);
  service_.wait();
  EXPECT_LT(service_.status().engine.generated_tokens, 900);
  EXPECT_EQ(answer({2}, 5), toy_greedy({2}, 5, kToyVocab));
}

TEST_F(FollowTest, ARefusalIsAnOutput) {
  Output told;
  Follower follower;
  follower.on_output = [&](const Output& output) { told = output; };
  follow(service_, request_of({1, 99}, 4), follower);
  EXPECT_EQ(told.finish, FinishReason::kError);
  EXPECT_EQ(told.error_code, ErrorCode::kInvalidArgument);
}

TEST_F(FollowTest, SeveralThreadsFollow) {
  std::vector<std::thread> threads;
  std::vector<std::vector<int32_t>> ids(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        Follower follower;
        auto& mine = ids[static_cast<size_t>(t)];
        mine.clear();
        follower.on_output = [&mine](const Output& output) {
          if (output.token) mine.push_back(*output.token);
        };
        follow(service_, request_of({t, i}, 10), follower);
        EXPECT_EQ(mine, toy_greedy({t, i}, 10, kToyVocab));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace tq
