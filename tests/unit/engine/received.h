// What tests of engines share: small limits, and what a request gives.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "model/model.h"
#include "support/kv_formats.h"

namespace tq {

inline LoadOptions limits(int64_t batch, int64_t sequences, int64_t context) {
  LoadOptions options;
  options.max_batch_tokens = batch;
  options.max_sequences = sequences;
  options.max_context = context;
  return options;
}

// Collects what a request gives.
struct Received {
  int64_t request = 0;
  std::vector<int32_t> ids;
  std::string text;
  FinishReason finish = FinishReason::kNone;
  std::string error;
  ErrorCode error_code = ErrorCode::kInternal;
  RequestStats stats;
  int n_finished = 0;
};

inline Request make_request(std::vector<int32_t> prompt, int max_tokens, Received& received) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  request.on_output = [&received](const Output& output) {
    EXPECT_EQ(received.n_finished, 0) << "an output after the last";
    received.request = output.request;
    if (output.token) received.ids.push_back(*output.token);
    received.text += output.text;
    if (output.finish == FinishReason::kNone) return;
    ++received.n_finished;
    received.finish = output.finish;
    received.error = output.error;
    received.error_code = output.error_code;
    received.stats = output.stats;
  };
  return request;
}

inline const EngineOptions kF32 = {.kv_format = fixtures::kKvF32};

inline void run_all(Engine& engine) {
  while (engine.step()) {
  }
}

}  // namespace tq
