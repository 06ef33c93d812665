// Tensors that are missing, misshapen, damaged or left over.
#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class WeightsTest : public testing::Test {
 protected:
  Error load_error() {
    return error_of([&] { Runner runner(checkpoint_); });
  }
  void rename(const std::string& from, const std::string& to) {
    checkpoint_.tensor(from).name = to;
    checkpoint_.reindex();
  }
  void add(const std::string& name) {
    checkpoint_.contents().push_back({name, {2}, {1, 2}});
    checkpoint_.reindex();
  }

  Golden golden_{"llama"};
  MemoryCheckpoint checkpoint_{*golden_.checkpoint};
};

TEST_F(WeightsTest, ListsMissingTensors) {
  checkpoint_.erase("model.layers.1.self_attn.k_proj.weight");
  Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("1 tensors"), HasSubstr("layers.1.self_attn.k_proj"),
                                  Not(HasSubstr("..."))));
  checkpoint_.config()["num_hidden_layers"] = 4;
  error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("19 tensors"), HasSubstr("layers.2.self_attn.q_proj"),
                                  HasSubstr("...")));
}

TEST_F(WeightsTest, NamesThePlacesOfTheEmbedding) {
  checkpoint_.erase("model.embed_tokens.weight");
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr("model.embed_tokens.weight"));
}

TEST_F(WeightsTest, AnUntiedModelNeedsItsHead) {
  checkpoint_.config()["tie_word_embeddings"] = false;
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr("lm_head.weight"));
}

TEST_F(WeightsTest, NamesAMisshapenTensorAndBothShapes) {
  checkpoint_.tensor("model.layers.0.mlp.up_proj.weight").shape = {64, 128};
  checkpoint_.reindex();
  Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("layers.0.mlp.up_proj.weight"), HasSubstr("[64, 128]"),
                                  HasSubstr("[128, 64]")));
  checkpoint_.config()["vocab_size"] = 127;
  error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("embed_tokens"));
}

TEST_F(WeightsTest, RefusesNanInNorms) {
  checkpoint_.tensor("model.norm.weight").values[3] = NAN;
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("model.norm.weight"));
}

TEST_F(WeightsTest, KnownLeftoversAreTold) {
  add("model.layers.1.self_attn.rotary_emb.inv_freq");
  add("model.layers.0.self_attn.rotary_emb.inv_freq");
  add("model.layers.0.mlp.up_proj.weight_scale");
  testing::internal::CaptureStderr();
  Runner runner(checkpoint_);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("2 tensors (0.0 MB) with rotary angles"),
                    HasSubstr("1 tensors (0.0 MB) with scales"),
                    HasSubstr("not loaded, such as model.layers.0.mlp.up_proj.weight_scale")));
  EXPECT_LE(relative_difference(runner.run(golden_.tokens), golden_.logits), 1e-4);
}

TEST_F(WeightsTest, UnknownLeftoversAreWarnedOfOnce) {
  add("score.weight");
  add("score.bias");
  testing::internal::CaptureStderr();
  Runner runner(checkpoint_);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("2 tensors of \"score\""), HasSubstr("such as score.weight")));
}

// The architecture norms no queries, the layer has weights for it: leaving them out would be wrong.
TEST_F(WeightsTest, RefusesAnUnaccountedTensorInsideALayer) {
  add("model.layers.1.self_attn.q_norm.weight");
  const Error error = load_error();
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("layers.1.self_attn.q_norm.weight"));
}

TEST_F(WeightsTest, ReportsProgressToTheEnd) {
  int64_t last = 0;
  int64_t all = 0;
  LoadOptions options;
  options.progress = [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    last = done;
    all = total;
  };
  Runner runner(checkpoint_, true, options);
  EXPECT_EQ(last, all);
  EXPECT_EQ(all, runner.model().weight_bytes());
}

TEST_F(WeightsTest, MappedWeightsAreNotCopied) {
  const Checkpoint& mapped = *golden_.checkpoint;
  const Architecture& arch = find_architecture(mapped.config());
  const auto backend = make_backend(true);
  const DecoderWeights weights =
      load_weights(mapped, arch.make_spec(mapped.config()), arch.tensor_names(), *backend, {});
  const auto view = mapped.view(*mapped.find("model.embed_tokens.weight"));
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(weights.embedding.codes, view->codes);
  EXPECT_EQ(weights.head.weight.codes, view->codes);
  EXPECT_EQ(weights.size_bytes, weights.bytes_per_token);  // a tied head is not a second matrix
  EXPECT_EQ(weights.owned.size(), 5u);                     // the norms
}

}  // namespace
}  // namespace tq::test
