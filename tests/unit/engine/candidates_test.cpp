// Scores over a compressed KV cache, on a golden model: what was asked before changes no bit.
#include "engine/candidates.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "io/checkpoint.h"
#include "support/forwarding_model.h"

namespace tq {
namespace {

// A model that counts the tokens that it is given.
class CountingModel : public fixtures::ForwardingModel {
 public:
  using ForwardingModel::ForwardingModel;

  void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
    for (const BatchSequence& run : batch) n_tokens += static_cast<int64_t>(run.token_ids.size());
    ForwardingModel::forward(batch, kv, logits);
  }

  int64_t n_tokens = 0;
};

class CandidateScores : public ::testing::Test {
 protected:
  static std::vector<int32_t> text(int64_t n, int32_t seed) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>((seed * 31 + i * i) % 120));
    return ids;
  }
  // The same 160 tokens and n others.
  static std::vector<int32_t> question(int64_t n, int32_t seed) {
    std::vector<int32_t> ids = text(160, 1);
    for (const int32_t id : text(n, seed)) ids.push_back(id);
    return ids;
  }
  // What each continuation of the last context scores, after the others.
  std::vector<double> scores_of_last(const std::vector<std::vector<int32_t>>& contexts) {
    CandidateScorer scorer(model_, kv_.format);
    std::vector<double> scores;
    for (const auto& context : contexts) {
      scores.clear();
      model_.n_tokens = 0;
      for (const CandidateScore& one : scorer.score(context, continuations_)) {
        scores.push_back(one.log_probability);
      }
    }
    return scores;
  }

  const std::vector<std::vector<int32_t>> continuations_ = {{3}, {5, 60, 7}};
  const KvOptions kv_ = {.format = find_kv_format("k4v3")->id, .sinks = 4, .tail = 32};
  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(TQ_TEST_DATA "/golden/models/llama");
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 2});
  std::unique_ptr<Model> loaded_ = Model::load(*checkpoint_, *backend_,
                                               {.max_batch_tokens = 48,
                                                .max_logit_rows = 4,
                                                .max_sequences = 1,
                                                .max_context = 400,
                                                .kv = kv_});
  CountingModel model_{*loaded_};
};

// Near pages of what they share are still kept: it is not run again.
TEST_F(CandidateScores, QuestionsShareABeginning) {
  const std::vector<double> alone = scores_of_last({question(60, 3)});
  EXPECT_EQ(model_.n_tokens, 160 + 60 + 2);
  EXPECT_EQ(scores_of_last({question(100, 2), question(60, 3)}), alone);
  EXPECT_EQ(model_.n_tokens, 60 + 2);
}

// They were overwritten, though the codes are there. The last question is so short that its answers
// would see what was computed over codes.
TEST_F(CandidateScores, WhatWasAskedBeforeChangesNoBit) {
  const std::vector<double> alone = scores_of_last({question(10, 3)});
  EXPECT_EQ(scores_of_last({question(100, 2), text(200, 8), question(10, 3)}), alone);
  EXPECT_EQ(scores_of_last({text(300, 8), question(100, 2), question(10, 3)}), alone);
  EXPECT_EQ(scores_of_last({question(10, 3), text(200, 8), question(10, 3)}), alone);
}

// A context that leaves room for little else: its last page is copied, for one after the other.
TEST_F(CandidateScores, ContinuationsUpToTheEndOfTheContext) {
  const std::vector<std::vector<int32_t>> continuations = {{4, 5, 6}, {7, 8}};
  for (const int64_t n : {384, 390, 397}) {
    CandidateScorer scorer(model_, kv_.format);
    const auto scores = scorer.score(text(n, 4), continuations);
    for (size_t i = 0; i < continuations.size(); ++i) {
      std::vector<int32_t> context = text(n, 4);
      double sum = 0;
      for (const int32_t id : continuations[i]) {
        sum += scorer.score(context, std::vector<std::vector<int32_t>>{{id}})[0].log_probability;
        context.push_back(id);
      }
      EXPECT_DOUBLE_EQ(scores[i].log_probability, sum) << n << " " << i;
    }
  }
}

}  // namespace
}  // namespace tq
