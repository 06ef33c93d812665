#include "session/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/kv_formats.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using ::testing::HasSubstr;

class ServiceTest : public testing::Test {
 protected:
  ToyModel model_{limits(8, 3, 64)};
  // Without a tokenizer: all ids of the model.
  std::unique_ptr<Service> service_ = std::make_unique<Service>(
      model_, nullptr, std::vector<int32_t>{}, EngineOptions{.kv_format = fixtures::kKvF32});
};

TEST_F(ServiceTest, ManyThreadsGetWhatTheyWouldGetAlone) {
  constexpr int kThreads = 4;
  constexpr int kEach = 12;
  std::vector<Received> received(kThreads * kEach);
  std::vector<int64_t> numbers(received.size());
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto at = static_cast<size_t>(t * kEach + i);
        numbers[at] = service_->submit(make_request({t, i, 3}, 5 + i, received[at]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  service_->wait();
  EXPECT_EQ(service_->n_requests(), 0u);
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kEach; ++i) {
      const auto at = static_cast<size_t>(t * kEach + i);
      EXPECT_EQ(received[at].finish, FinishReason::kLength);
      EXPECT_EQ(received[at].request, numbers[at]);
      EXPECT_EQ(received[at].ids, toy_greedy({t, i, 3}, 5 + i, kToyVocab));
    }
  }
}

TEST_F(ServiceTest, WhatIsRefusedIsTold) {
  Received received;
  service_->submit(make_request({1, 99}, 4, received));
  service_->wait();
  EXPECT_EQ(received.finish, FinishReason::kError);
  EXPECT_EQ(received.error_code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(received.error, HasSubstr("99"));
  Received next;  // and hurts nobody
  service_->submit(make_request({1}, 2, next));
  service_->wait();
  EXPECT_EQ(next.ids, toy_greedy({1}, 2, kToyVocab));
}

TEST_F(ServiceTest, CancelsFromACallbackAndFromOutside) {
  Received inside;
  Received outside;
  Request request = make_request({1}, 60, inside);
  std::atomic<int> n_told = 0;
  request.on_output = [&, tell = request.on_output](const Output& output) {
    tell(output);
    if (++n_told == 3) service_->cancel(output.request);
  };
  service_->submit(std::move(request));
  const int64_t number = service_->submit(make_request({2}, 60, outside));
  service_->cancel(number);
  service_->cancel(12345);
  service_->wait();
  EXPECT_EQ(inside.finish, FinishReason::kCancelled);
  EXPECT_GE(inside.ids.size(), 3u);
  EXPECT_LT(inside.ids.size(), 60u);
  EXPECT_EQ(outside.finish, FinishReason::kCancelled);
  service_->cancel(number);  // finished: ignored
}

TEST_F(ServiceTest, ACallbackThatThrowsCostsItsRequestAlone) {
  int n_calls = 0;
  Request request;
  request.prompt = {1};
  request.sampling.max_tokens = 50;
  request.on_output = [&n_calls](const Output&) {
    ++n_calls;
    throw std::runtime_error("the client is gone");
  };
  Received other;
  service_->submit(std::move(request));
  service_->submit(make_request({2}, 20, other));
  service_->wait();
  EXPECT_EQ(n_calls, 1);
  EXPECT_EQ(other.ids, toy_greedy({2}, 20, kToyVocab));
}

TEST_F(ServiceTest, TellsItsStatus) {
  Received received;
  service_->submit(make_request({1, 2}, 5, received));
  service_->wait();
  const ServiceStatus status = service_->status();
  EXPECT_EQ(status.n_requests, 0u);
  EXPECT_GE(status.engine.generated_tokens, 5);
  EXPECT_EQ(status.fault, "");
}

TEST_F(ServiceTest, AModelThatThrowsEndsItsRequestsAndOthersGoOn) {
  model_.broken_step = 2;
  Received first;
  service_->submit(make_request({1}, 10, first));
  service_->wait();
  EXPECT_EQ(first.finish, FinishReason::kError);
  EXPECT_EQ(first.error_code, ErrorCode::kDevice);
  EXPECT_EQ(service_->status().fault_code, ErrorCode::kDevice);
  EXPECT_THAT(service_->status().fault, HasSubstr("toy"));
  Received second;
  service_->submit(make_request({1}, 10, second));
  service_->wait();
  EXPECT_EQ(second.ids, toy_greedy({1}, 10, kToyVocab));
}

TEST_F(ServiceTest, TellsWhatIsLeftWhenItGoes) {
  std::vector<Received> received(6);
  for (Received& one : received) service_->submit(make_request({3}, 60, one));
  service_.reset();
  for (const Received& one : received) {
    EXPECT_EQ(one.n_finished, 1);
    EXPECT_TRUE(one.finish == FinishReason::kCancelled || one.finish == FinishReason::kLength);
  }
}

TEST_F(ServiceTest, SubmitsFromACallback) {
  Received second;
  Request first;
  first.prompt = {1};
  first.sampling.max_tokens = 3;
  first.on_output = [&](const Output& output) {
    if (output.finish != FinishReason::kNone) service_->submit(make_request({5}, 4, second));
  };
  service_->submit(std::move(first));
  service_->wait();
  EXPECT_EQ(second.ids, toy_greedy({5}, 4, kToyVocab));
}

}  // namespace
}  // namespace tq
