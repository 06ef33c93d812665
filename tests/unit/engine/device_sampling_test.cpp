// The engine where the model chooses tokens: a toy of such a device, and golden checkpoints on the
// device that TQ_TEST_DEVICE names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/env.h"
#include "engine/engine.h"
#include "io/checkpoint.h"
#include "support/forwarding_model.h"
#include "support/kv_formats.h"
#include "unit/engine/choosing_toy.h"
#include "unit/engine/received.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

struct Result {
  std::vector<int32_t> ids;
  std::string error;
  bool operator==(const Result&) const = default;
};

// The requests' tokens, all of them in flight at once.
std::vector<Result> run_together(Model& model, const std::vector<Request>& requests,
                                 const EngineOptions& options) {
  Engine engine(model, nullptr, {}, options);
  std::vector<Result> results(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    Request request = requests[i];
    request.on_output = [&result = results[i]](const Output& output) {
      if (output.token) result.ids.push_back(*output.token);
      result.error += output.error;
    };
    engine.add(std::move(request));
  }
  while (engine.step()) {
  }
  return results;
}

// Requests that together use every parameter.
std::vector<Request> varied_requests(int64_t vocab, int max_tokens) {
  std::vector<Request> requests;
  const auto add = [&](auto change) {
    Request request;
    const auto n = static_cast<int32_t>(requests.size());
    for (int32_t i = 0; i <= n; ++i) {
      request.prompt.push_back(static_cast<int32_t>((7 * i + 3 * n + 1) % (vocab - 2)));
    }
    request.sampling.max_tokens = max_tokens;
    request.sampling.seed = static_cast<uint64_t>(n);
    change(request.sampling);
    requests.push_back(std::move(request));
  };
  add([](SamplingParams&) {});
  add([](SamplingParams& p) { p.temperature = 1; });
  add([](SamplingParams& p) { p.temperature = 0.7f, p.top_k = 10; });
  add([](SamplingParams& p) { p.temperature = 2, p.top_p = 0.8f; });
  add([](SamplingParams& p) { p.temperature = 1.5f, p.min_p = 0.1f; });
  add([](SamplingParams& p) { p.repetition_penalty = 1.3f; });
  add([](SamplingParams& p) { p.temperature = 1, p.presence_penalty = 1, p.top_k = 30; });
  add([](SamplingParams& p) { p.frequency_penalty = 0.5f, p.logit_bias = {{3, 2.0f}, {5, -9}}; });
  add([](SamplingParams& p) {
    p.temperature = 3, p.top_k = 20, p.top_p = 0.95f, p.min_p = 0.01f, p.repetition_penalty = 1.1f;
  });
  return requests;
}

LoadOptions toy_limits() { return limits(12, 4, 64); }

TEST(DeviceSampling, GivesTheTokensOfTheHost) {
  EngineOptions options{.kv_format = fixtures::kKvF32};
  options.suppressed_ids = {4, 17};
  const std::vector<Request> requests = varied_requests(kToyVocab, 20);
  ToyModel host(toy_limits());
  const std::vector<Result> expected = run_together(host, requests, options);
  ChoosingToy device(toy_limits());
  EXPECT_EQ(run_together(device, requests, options), expected);
  EXPECT_EQ(device.n_forward, 0);
  for (const Result& result : expected) EXPECT_THAT(result.ids, Not(Contains(17)));
  // Without room for lists the steps that have some go by the host, and nothing else changes.
  ChoosingToy small(toy_limits());
  small.token_values = 6;
  EXPECT_EQ(run_together(small, requests, options), expected);
  EXPECT_GT(small.n_forward, 0);
  EXPECT_GT(small.n_chosen, 0);
}

TEST(DeviceSampling, PaddingRowsAreNeverSampled) {
  ChoosingToy model(toy_limits());
  Engine engine(model, std::make_shared<ToyTokenizer>(), {}, {.kv_format = fixtures::kKvF32});
  Request request = varied_requests(kToyVocab, 50)[1];
  std::vector<int32_t> ids;
  request.on_output = [&](const Output& output) {
    if (output.token) ids.push_back(*output.token);
  };
  engine.add(std::move(request));
  while (engine.step()) {
  }
  EXPECT_EQ(ids.size(), 50u);
  for (const int32_t id : ids) EXPECT_LT(id, 30);  // the tokenizer knows 30 of 40
}

TEST(DeviceSampling, ABrokenRowEndsItsRequestOnly) {
  ChoosingToy model(toy_limits());
  std::vector<Request> requests = varied_requests(kToyVocab, 10);
  requests.resize(3);
  requests[1].prompt = {kToyNan};
  const std::vector<Result> results =
      run_together(model, requests, {.kv_format = fixtures::kKvF32});
  EXPECT_EQ(results[0].ids.size(), 10u);
  EXPECT_EQ(results[2].ids.size(), 10u);
  EXPECT_TRUE(results[1].ids.empty());
  EXPECT_THAT(results[1].error, HasSubstr("NaN"));
}

// A model of whose device only logits are asked.
class LogitsOnly : public fixtures::ForwardingModel {
 public:
  using ForwardingModel::ForwardingModel;
};

// A golden checkpoint on the device under test, whose logits do not depend on the batch.
class GoldenSampling : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenSampling() {
    if (env_or("TQ_TEST_DEVICE", "cpu") == "cuda") {
      backend_ = make_cuda_backend({.exact = true, .batch_invariant = true});
    } else {
      backend_ = make_cpu_backend({.threads = 2, .exact = true});
    }
    checkpoint_ = open_checkpoint(fs::path(env_or("TQ_TEST_DATA", TQ_TEST_DATA)) / "golden/models" /
                                  GetParam());
    LoadOptions options;
    options.threads = 2;
    options.max_context = 96;
    options.max_sequences = 9;
    options.max_batch_tokens = 32;
    options.max_logit_rows = 9;
    model_ = Model::load(*checkpoint_, *backend_, options);
  }
  std::vector<Request> requests() const { return varied_requests(model_->spec().vocab, 40); }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Model> model_;
  EngineOptions options_{.suppressed_ids = {1, 2}};
};

TEST_P(GoldenSampling, ASeedGivesTheSameTokensWhateverTheBatch) {
  const std::vector<Result> together = run_together(*model_, requests(), options_);
  const std::vector<Request> all = requests();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(together[i].ids.size(), 40u) << together[i].error;
    EXPECT_EQ(run_together(*model_, {all[i]}, options_)[0], together[i]) << i;
  }
}

TEST_P(GoldenSampling, TheDeviceChoosesWhatTheHostChooses) {
  if (!backend_->samples())
    GTEST_SKIP() << "only a GPU samples: scripts/gpu-test.sh runs it on one";
  LogitsOnly logits(*model_);
  EXPECT_EQ(run_together(*model_, requests(), options_),
            run_together(logits, requests(), options_));
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenSampling,
                         ::testing::Values("llama", "qwen3_moe", "gemma4_moe", "glm4_moe_lite"));

}  // namespace
}  // namespace tq
