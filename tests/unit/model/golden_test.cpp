// Logits of tiny seeded checkpoints against those of transformers (tests/golden/models).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

// Products of 16-bit numbers, where they are forced, round the inputs of 16-bit weights.
double tolerance(const std::string& model) {
  return forced_kernels() == "dequant" && model.ends_with("bf16") ? 1e-2 : kTolerance;
}
constexpr int64_t kPrefill = 27;

class GoldenTest : public testing::TestWithParam<const char*> {
 protected:
  GoldenTest() : golden_(GetParam()), runner_(*golden_.checkpoint) {}
  Golden golden_;
  Runner runner_;
};

TEST_P(GoldenTest, FullPass) {
  EXPECT_LE(relative_difference(runner_.run(golden_.tokens), golden_.logits),
            tolerance(GetParam()));
}

TEST_P(GoldenTest, PrefillThenDecode) {
  std::vector<int64_t> pieces(golden_.tokens.size() - kPrefill, 1);
  pieces.insert(pieces.begin(), kPrefill);
  const auto logits = runner_.run(golden_.tokens, pieces);
  EXPECT_LE(relative_difference(logits, golden_.logits_cached), tolerance(GetParam()));
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

// Latent attention computes with a transposed copy of the key rows of kv_b.
int64_t n_copied(const ModelSpec& spec) {
  int64_t total = 0;
  for (const LayerSpec& layer : spec.layers) {
    const auto* mla = std::get_if<MlaSpec>(&layer.attention);
    if (mla != nullptr) total += mla->n_heads * mla->nope_dim * mla->kv_rank;
  }
  return total;
}

TEST_P(GoldenTest, CountsParametersAndBytes) {
  const int64_t elements = n_parameters(golden_.checkpoint->config());
  const Model& model = runner_.model();
  EXPECT_EQ(model.n_parameters(), elements);
  int64_t stored = 0;
  for (const TensorEntry& entry : golden_.checkpoint->tensors()) stored += entry.n_elements();
  EXPECT_EQ(stored, elements);
  // Of 16 bits, some or all.
  if (std::string(GetParam()) == "llama_bf16" || std::string(GetParam()) == "gpt_oss_mxfp4") return;
  const int64_t copied = n_copied(model.spec());
  EXPECT_EQ(model.weight_bytes(), (elements + copied) * 4);
  const int64_t read = elements - n_unused(model.spec());
  // Of each tensor of experts a part is read, in whole bytes.
  EXPECT_NEAR(static_cast<double>(model.bytes_per_token()), static_cast<double>(read * 4),
              static_cast<double>(golden_.checkpoint->tensors().size()));
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::ValuesIn(on_this_device({"llama",
                                                           "llama_bf16",
                                                           "llama_bias_rope3",
                                                           "llama_wide_heads",
                                                           "gemma3",
                                                           "gemma4_dense",
                                                           "gemma4_moe",
                                                           "gemma4_e",
                                                           "gemma4_per_layer_config",
                                                           "qwen2",
                                                           "qwen2_sliding",
                                                           "qwen2_yarn",
                                                           "qwen3",
                                                           "qwen3_moe",
                                                           "glm4_moe_lite",
                                                           "glm4_moe_lite_groups",
                                                           "mistral",
                                                           "ministral3",
                                                           "smollm3",
                                                           "phi3",
                                                           "phi3_longrope",
                                                           "phi3_longrope_long",
                                                           "gpt_oss",
                                                           "gpt_oss_mxfp4",
                                                           "qwen3_5",
                                                           "qwen3_5_moe"})),
                         [](const auto& test) { return std::string(test.param); });

// A device that has no attention with sinks says so.
TEST(GoldenSinks, AreComputedOrRefused) {
  const Golden golden("gpt_oss");
  if (make_backend(true)->has_sinks()) {
    EXPECT_FALSE(on_this_device({"gpt_oss"}).empty());
    return;
  }
  const Error error = error_of([&] { Runner runner(*golden.checkpoint); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_NE(std::string(error.what()).find("sinks"), std::string::npos) << error.what();
}

// Where a wrong result comes from: the residual stream after each block.
class GoldenStages : public testing::TestWithParam<const char*> {};

TEST_P(GoldenStages, EveryLayer) {
  const Golden golden(GetParam());
  const std::vector<float> expected = read_npy_f32(golden_path(GetParam()) / "layers.npy").values;
  Runner runner(*golden.checkpoint);
  std::vector<float> stages;
  runner.model().set_observer(
      [&](std::string_view stage, int64_t layer, std::span<const float> values) {
        if (layer < 0) return;
        ASSERT_LE(stages.size() + values.size(), expected.size());
        const auto part = std::span(expected).subspan(stages.size(), values.size());
        EXPECT_LE(relative_difference(values, part), kTolerance) << stage << layer;
        stages.insert(stages.end(), values.begin(), values.end());
      });
  runner.run(golden.tokens);
  EXPECT_EQ(stages.size(), expected.size());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenStages,
                         testing::Values("gemma4_moe", "glm4_moe_lite", "qwen3_5", "qwen3_5_moe"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace tq::test
