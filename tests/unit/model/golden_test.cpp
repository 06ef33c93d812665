// Logits of tiny seeded checkpoints against those of transformers (tests/golden/models).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

constexpr double kTolerance = 1e-4;
constexpr int64_t kPrefill = 27;

class GoldenTest : public testing::TestWithParam<const char*> {
 protected:
  GoldenTest() : golden_(GetParam()), runner_(*golden_.checkpoint) {}
  Golden golden_;
  Runner runner_;
};

TEST_P(GoldenTest, FullPass) {
  EXPECT_LE(relative_difference(runner_.run(golden_.tokens), golden_.logits), kTolerance);
}

TEST_P(GoldenTest, PrefillThenDecode) {
  std::vector<int64_t> pieces(golden_.tokens.size() - kPrefill, 1);
  pieces.insert(pieces.begin(), kPrefill);
  const auto logits = runner_.run(golden_.tokens, pieces);
  EXPECT_LE(relative_difference(logits, golden_.logits_cached), kTolerance);
}

TEST_P(GoldenTest, ChunkedPrefillEqualsOnePass) {
  // Chunks that end inside a page, at its end, and across several.
  EXPECT_EQ(runner_.run(golden_.tokens, {5, 11, 1, 20}), runner_.run(golden_.tokens));
}

// The int8 activations of the default path cost accuracy on weights in rotated formats only: these
// checkpoints hold plain ones.
TEST_P(GoldenTest, DefaultPathIsExactOnPlainWeights) {
  Runner runner(*golden_.checkpoint, /*exact=*/false);
  EXPECT_LE(relative_difference(runner.run(golden_.tokens), golden_.logits), kTolerance);
}

TEST_P(GoldenTest, CountsParametersAndBytes) {
  int64_t elements = 0;
  for (const TensorEntry& entry : golden_.checkpoint->tensors()) elements += entry.n_elements();
  const Model& model = runner_.model();
  EXPECT_EQ(model.n_parameters(), elements);
  const int64_t embedding = model.spec().vocab * model.spec().hidden;
  const bool bf16 = std::string(GetParam()) == "llama_bf16";
  EXPECT_EQ(model.weight_bytes() - model.bytes_per_token(),
            model.spec().tied_head ? 0 : embedding * 4);
  if (!bf16) {
    EXPECT_EQ(model.weight_bytes(), elements * 4);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::Values("llama", "llama_bf16", "llama_bias_rope3",
                                         "llama_wide_heads", "gemma3"),
                         [](const auto& test) { return std::string(test.param); });

// The goldens only mean something if each part of the computation shows in the logits.
TEST(GoldenSensitivity, EveryTensorMatters) {
  const Golden golden("gemma3");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  for (MemoryCheckpoint::Tensor& tensor : checkpoint.contents()) {
    const std::vector<float> original = tensor.values;
    // Not all alike: the norms of Gemma undo a factor.
    for (size_t i = 0; i < tensor.values.size(); i += 2) tensor.values[i] *= 1.05f;
    Runner runner(checkpoint);
    EXPECT_GT(relative_difference(runner.run(golden.tokens), golden.logits), 2 * kTolerance)
        << tensor.name;
    tensor.values = original;
  }
}

TEST(GoldenSensitivity, EveryConfigNumberMatters) {
  const Golden golden("gemma3");
  const Json changes = Json::parse(R"([
    {"sliding_window": 9}, {"sliding_window": 7}, {"query_pre_attn_scalar": 64},
    {"final_logit_softcapping": 13.0}, {"final_logit_softcapping": null}, {"rms_norm_eps": 1e-3},
    {"rope_parameters": {
      "full_attention": {"rope_type": "default", "rope_theta": 1e6},
      "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    {"layer_types": ["sliding_attention", "full_attention", "full_attention",
                     "sliding_attention"]}])");
  for (const Json& change : changes) {
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    checkpoint.config().update(change);
    Runner runner(checkpoint);
    EXPECT_GT(relative_difference(runner.run(golden.tokens), golden.logits), 2 * kTolerance)
        << change;
  }
}

TEST(GoldenMultimodal, TextDecoderOfNestedCheckpoints) {
  const Golden golden("gemma3");
  const std::map<std::string, std::string> prefixes = {
      {"language_model.model.", "an original checkpoint"},
      {"model.language_model.", "one saved by transformers 5"}};
  for (const auto& [prefix, what] : prefixes) {
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    Json text = checkpoint.config();
    text.erase("architectures");
    checkpoint.config() = {{"model_type", "gemma3"},
                           {"dtype", text["dtype"]},
                           {"mm_tokens_per_image", 256},
                           {"vision_config", {{"hidden_size", 1152}}},
                           {"text_config", text}};
    for (MemoryCheckpoint::Tensor& tensor : checkpoint.contents()) {
      tensor.name = prefix + tensor.name.substr(std::string("model.").size());
    }
    checkpoint.contents().push_back({"model.vision_tower.patch.weight", {2}, {1, 2}});
    checkpoint.reindex();
    Runner runner(checkpoint);
    EXPECT_EQ(runner.model().spec().arch, "gemma3") << what;
    EXPECT_LE(relative_difference(runner.run(golden.tokens), golden.logits), kTolerance) << what;
  }
}

}  // namespace
}  // namespace tq::test
