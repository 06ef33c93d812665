// The golden checkpoints bent: what must show in the logits, and the other forms in which
// checkpoints hold the same model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::HasSubstr;

std::string name_of(const testing::TestParamInfo<const char*>& test) { return test.param; }

// The goldens only mean something if each part of the computation shows in the logits.
class GoldenSensitivity : public testing::TestWithParam<const char*> {};

TEST_P(GoldenSensitivity, EveryTensorMatters) {
  const Golden golden(GetParam());
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  const std::string last = fmt::format("layers.{}.layer_scalar",
                                       checkpoint.config()["num_hidden_layers"].get<int>() - 1);
  for (MemoryCheckpoint::Tensor& tensor : checkpoint.contents()) {
    if (tensor.name.ends_with(last)) continue;  // the final norm undoes it
    const std::vector<float> original = tensor.values;
    // Not all alike: norms undo a factor. A bias that only chooses must change a choice.
    const float factor = tensor.name.ends_with("e_score_correction_bias") ? -1.0f : 1.05f;
    for (size_t i = 0; i < tensor.values.size(); i += 2) tensor.values[i] *= factor;
    Runner runner(checkpoint);
    EXPECT_GT(relative_difference(runner.run(golden.tokens), golden.logits), 2 * kTolerance)
        << tensor.name;
    tensor.values = original;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenSensitivity,
    testing::ValuesIn(on_this_device({"gemma3", "gemma4_moe", "gemma4_e", "qwen2", "qwen3",
                                      "qwen3_moe", "glm4_moe_lite", "mistral", "ministral3",
                                      "smollm3", "phi3", "gpt_oss", "qwen3_5", "qwen3_5_moe"})),
    name_of);

void expect_config_matters(const char* name, const Json& changes) {
  const Golden golden(name);
  for (const Json& change : changes) {
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    for (const auto& [field, value] : change.items()) {
      // A path changes a field of a field.
      const Json::json_pointer path(field.starts_with("/") ? field : "/" + field);
      checkpoint.config()[path] = value;
    }
    Runner runner(checkpoint);
    EXPECT_GT(relative_difference(runner.run(golden.tokens), golden.logits), 2 * kTolerance)
        << name << change;
  }
}

TEST(GoldenConfig, EveryNumberOfGemma3Matters) {
  expect_config_matters("gemma3", Json::parse(R"([
    {"sliding_window": 9}, {"sliding_window": 7}, {"query_pre_attn_scalar": 64},
    {"final_logit_softcapping": 13.0}, {"final_logit_softcapping": null}, {"rms_norm_eps": 1e-3},
    {"rope_parameters": {
      "full_attention": {"rope_type": "default", "rope_theta": 1e6},
      "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    {"layer_types": ["sliding_attention", "full_attention", "full_attention",
                     "sliding_attention"]}])"));
}

TEST(GoldenConfig, EveryNumberOfGemma4Matters) {
  const Json changes = Json::parse(R"([
    {"sliding_window": 9}, {"sliding_window": 7}, {"final_logit_softcapping": 6.0},
    {"final_logit_softcapping": null}, {"rms_norm_eps": 1e-3},
    {"/rope_parameters/full_attention/partial_rotary_factor": 0.5},
    {"/rope_parameters/full_attention/rope_theta": 1e5},
    {"/rope_parameters/full_attention/factor": 2.0},
    {"/rope_parameters/full_attention/rope_type": "default",
     "/rope_parameters/full_attention/partial_rotary_factor": 1.0},
    {"/rope_parameters/sliding_attention/rope_theta": 1e6}])");
  expect_config_matters("gemma4_moe", changes);
  expect_config_matters("gemma4_e", changes);
  expect_config_matters("gemma4_moe", Json::parse(R"([{"top_k_experts": 2}])"));
}

TEST(GoldenConfig, EveryNumberOfQwen2Matters) {
  expect_config_matters("qwen2", Json::parse(R"([
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 5e6},
    {"/rope_parameters/rope_type": "linear", "/rope_parameters/factor": 4.0}])"));
  expect_config_matters("qwen2_sliding", Json::parse(R"([
    {"sliding_window": 9}, {"sliding_window": 7},
    {"layer_types": ["full_attention", "full_attention", "sliding_attention"]}])"));
}

TEST(GoldenConfig, EveryNumberOfYarnMatters) {
  expect_config_matters("qwen2_yarn", Json::parse(R"([
    {"/rope_parameters/factor": 5.0}, {"/rope_parameters/beta_fast": 4.0},
    {"/rope_parameters/beta_slow": 0.5}, {"/rope_parameters/truncate": false},
    {"/rope_parameters/original_max_position_embeddings": 40},
    {"/rope_parameters/attention_factor": 1.1}, {"/rope_parameters/rope_theta": 110.0},
    {"/rope_parameters/mscale": 1.0, "/rope_parameters/mscale_all_dim": 1.0}])"));
}

TEST(GoldenConfig, EveryNumberOfMistralMatters) {
  expect_config_matters("mistral", Json::parse(R"([
    {"sliding_window": 9}, {"sliding_window": 7}, {"sliding_window": null},
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 5e4}])"));
  expect_config_matters("ministral3", Json::parse(R"([
    {"/rope_parameters/llama_4_scaling_beta": 0.2}, {"/rope_parameters/mscale": 0.9},
    {"/rope_parameters/mscale_all_dim": 0.6}, {"/rope_parameters/truncate": false},
    {"/rope_parameters/original_max_position_embeddings": 20}, {"sliding_window": 8}])"));
}

TEST(GoldenConfig, EveryNumberOfSmolLm3Matters) {
  expect_config_matters("smollm3", Json::parse(R"([
    {"no_rope_layers": [1, 0, 1, 0]}, {"no_rope_layer_interval": 3, "no_rope_layers": null}, {"rms_norm_eps": 1e-3},
    {"/rope_parameters/rope_theta": 2e4}])"));
}

TEST(GoldenConfig, EveryNumberOfPhi3Matters) {
  expect_config_matters("phi3", Json::parse(R"([
    {"/rope_parameters/partial_rotary_factor": 0.5}, {"sliding_window": 9},
    {"sliding_window": null}, {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 1e5}])"));
  const Json changes = Json::parse(R"([
    {"/rope_parameters/rope_theta": 5e3}, {"/rope_parameters/attention_factor": 1.3},
    {"/rope_parameters/factor": 3.0}, {"max_position_embeddings": 2048}])");
  expect_config_matters("phi3_longrope", changes);
  expect_config_matters("phi3_longrope_long", changes);
  expect_config_matters("phi3_longrope", Json::parse(R"([
    {"original_max_position_embeddings": 24},
    {"/rope_parameters/short_factor": [1.2, 1.1, 1.3, 1.5, 1.8, 2.0]}])"));
  expect_config_matters("phi3_longrope_long", Json::parse(R"([
    {"original_max_position_embeddings": 512},
    {"/rope_parameters/long_factor": [1.3, 1.5, 2.5, 4.0, 7.0, 12.0]}])"));
}

TEST(GoldenConfig, EveryNumberOfGptOssMatters) {
  if (on_this_device({"gpt_oss"}).empty()) GTEST_SKIP() << "the device refuses sinks";
  expect_config_matters("gpt_oss", Json::parse(R"([
    {"swiglu_limit": 1.4}, {"swiglu_alpha": 1.6}, {"num_experts_per_tok": 2}, {"sliding_window": 9},
    {"sliding_window": 7}, {"layer_types": ["full_attention", "sliding_attention"]},
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/truncate": true}, {"/rope_parameters/factor": 9.0},
    {"/rope_parameters/rope_theta": 900.0}])"));
}

TEST(GoldenConfig, EveryNumberOfQwen3Matters) {
  const Json changes = Json::parse(R"([
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 5e6},
    {"/rope_parameters/rope_type": "linear", "/rope_parameters/factor": 4.0}])");
  expect_config_matters("qwen3", changes);
  expect_config_matters("qwen3_moe", changes);
  expect_config_matters("qwen3_moe",
                        Json::parse(R"([{"num_experts_per_tok": 2}, {"norm_topk_prob": false}])"));
}

TEST(GoldenConfig, EveryNumberOfQwen35Matters) {
  const Json changes = Json::parse(R"([
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 1e4},
    {"/rope_parameters/partial_rotary_factor": 0.5},
    {"linear_num_key_heads": 3, "linear_key_head_dim": 16}])");
  expect_config_matters("qwen3_5", changes);
  expect_config_matters("qwen3_5_moe", Json::parse(R"([
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 1e4}, {"num_experts_per_tok": 2},
    {"linear_num_key_heads": 1, "linear_key_head_dim": 32}])"));
}

TEST(GoldenConfig, EveryNumberOfGlmMatters) {
  expect_config_matters("glm4_moe_lite", Json::parse(R"([
    {"rms_norm_eps": 1e-3}, {"/rope_parameters/rope_theta": 1e5}, {"rope_interleave": false},
    {"num_experts_per_tok": 3}, {"norm_topk_prob": false}, {"routed_scaling_factor": 1.7}])"));
  expect_config_matters("glm4_moe_lite_groups", Json::parse(R"([
    {"n_group": 1}, {"n_group": 4, "topk_group": 2}, {"topk_group": 2}])"));
}

// Names that start with `from` start with `to` instead.
void rename(MemoryCheckpoint& checkpoint, std::string_view from, const std::string& to) {
  for (MemoryCheckpoint::Tensor& tensor : checkpoint.contents()) {
    if (tensor.name.starts_with(from)) tensor.name = to + tensor.name.substr(from.size());
  }
  checkpoint.reindex();
}

// The checkpoint as one of a multimodal model.
void nest(MemoryCheckpoint& checkpoint, const std::string& type, const std::string& prefix) {
  Json text = checkpoint.config();
  text.erase("architectures");
  checkpoint.config() = {{"model_type", type},
                         {"dtype", text["dtype"]},
                         {"vision_config", {{"hidden_size", 1152}}},
                         {"text_config", text}};
  rename(checkpoint, "model.", prefix);
}

void add_tensor(MemoryCheckpoint& checkpoint, const std::string& name) {
  checkpoint.contents().push_back({name, {2}, {1, 2}});
  checkpoint.reindex();
}

// The text decoder as published, and the layer for multi-token prediction that is left out.
TEST(GoldenMultimodal, TextDecoderOfQwen35) {
  for (const auto& [name, type] :
       {std::pair{"qwen3_5", "qwen3_5"}, std::pair{"qwen3_5_moe", "qwen3_5_moe"}}) {
    const Golden golden(name);
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    nest(checkpoint, type, "model.language_model.");
    Json& config = checkpoint.config();
    config["image_token_id"] = 5;
    config["tie_word_embeddings"] = Json(config["text_config"]["tie_word_embeddings"]);
    config["text_config"].update(
        {{"mtp_num_hidden_layers", 1}, {"mamba_ssm_dtype", "float32"}, {"attn_output_gate", true}});
    add_tensor(checkpoint, "model.visual.patch_embed.proj.weight");
    add_tensor(checkpoint, "mtp.fc.weight");
    add_tensor(checkpoint, "mtp.layers.0.self_attn.q_proj.weight");
    testing::internal::CaptureStderr();
    Runner runner(checkpoint);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("multi-token prediction"));
    EXPECT_EQ(runner.model().spec().arch, type);
    EXPECT_LE(relative_difference(runner.run(golden.tokens), golden.logits), kTolerance) << name;
  }
}

TEST(GoldenMultimodal, TextDecoderOfGemma3) {
  const Golden golden("gemma3");
  // As published, and as transformers 5 saves it.
  for (const char* prefix : {"language_model.model.", "model.language_model."}) {
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    nest(checkpoint, "gemma3", prefix);
    checkpoint.config()["mm_tokens_per_image"] = 256;
    add_tensor(checkpoint, "model.vision_tower.patch.weight");
    Runner runner(checkpoint);
    EXPECT_EQ(runner.model().spec().arch, "gemma3") << prefix;
    EXPECT_LE(relative_difference(runner.run(golden.tokens), golden.logits), kTolerance) << prefix;
  }
}

TEST(GoldenMultimodal, TextDecoderOfGemma4) {
  for (const char* name : {"gemma4_moe", "gemma4_e", "gemma4_per_layer_config"}) {
    const Golden golden(name);
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    nest(checkpoint, "gemma4", "model.language_model.");
    checkpoint.config().update({{"audio_config", {{"hidden_size", 1024}}},
                                {"image_token_id", 258880},
                                {"eoa_token_index", 258883}});
    for (const char* part : {"vision_tower.patch.weight", "embed_vision.projection.weight",
                             "audio_tower.conv.weight", "embed_audio.projection.weight"}) {
      add_tensor(checkpoint, std::string("model.") + part);
    }
    testing::internal::CaptureStderr();
    Runner runner(checkpoint);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("4 tensors"));
    EXPECT_EQ(runner.model().spec().arch, "gemma4") << name;
    EXPECT_LE(relative_difference(runner.run(golden.tokens), golden.logits), kTolerance) << name;
  }
}

// As published, and as transformers 5 saves it.
TEST(GoldenMultimodal, TextDecoderOfMistral3) {
  for (const auto& [name, type] :
       {std::pair{"mistral", "mistral"}, std::pair{"ministral3", "ministral3"}}) {
    const Golden golden(name);
    for (const char* prefix : {"language_model.model.", "model.language_model."}) {
      MemoryCheckpoint checkpoint(*golden.checkpoint);
      nest(checkpoint, "mistral3", prefix);
      if (prefix[0] == 'l') rename(checkpoint, "lm_head", "language_model.lm_head");
      checkpoint.config().update({{"image_token_index", 10}, {"spatial_merge_size", 2}});
      add_tensor(checkpoint, "vision_tower.patch_conv.weight");
      add_tensor(checkpoint, "multi_modal_projector.linear_1.weight");
      Runner runner(checkpoint);
      EXPECT_EQ(runner.model().spec().arch, "mistral3") << type;
      EXPECT_LE(relative_difference(runner.run(golden.tokens), golden.logits), kTolerance)
          << name << prefix;
    }
  }
}

// Published checkpoints hold keys and values also for the layers that use another layer's.
TEST(GoldenLeftovers, KeysAndValuesOfSharingLayers) {
  const Golden golden("gemma4_e");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  for (const char* part : {"k_proj", "v_proj", "k_norm"}) {
    add_tensor(checkpoint, std::string("model.layers.5.self_attn.") + part + ".weight");
  }
  EXPECT_LE(relative_difference(Runner(checkpoint).run(golden.tokens), golden.logits), kTolerance);
  add_tensor(checkpoint, "model.layers.5.self_attn.sinks");
  const Error error = error_of([&] { Runner runner(checkpoint); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("layers.5.self_attn.sinks"));
}

TEST(GoldenLeftovers, LayersForMultiTokenPrediction) {
  const Golden golden("glm4_moe_lite");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  add_tensor(checkpoint, "model.layers.3.mlp.up_proj.weight");
  // What the config says of such layers does not make one of a layer that has been left over.
  checkpoint.config()["num_nextn_predict_layers"] = 1;
  const Error error = error_of([&] { Runner runner(checkpoint); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("layers.3.mlp.up_proj.weight belongs to no layer"));
  add_tensor(checkpoint, "model.layers.3.eh_proj.weight");
  for (const int layers : {1, 0}) {
    checkpoint.config()["num_nextn_predict_layers"] = layers;
    EXPECT_LE(relative_difference(Runner(checkpoint).run(golden.tokens), golden.logits),
              kTolerance);
  }
}

// The stacks of a layer's experts from tensors of their own.
void fuse_experts(MemoryCheckpoint& checkpoint, const std::string& experts, int64_t n,
                  const std::pair<std::string, std::string>& names) {
  const auto one = [&](int64_t e, const char* part) -> MemoryCheckpoint::Tensor& {
    return checkpoint.tensor(fmt::format("{}.{}.{}.weight", experts, e, part));
  };
  const Shape gate_shape = one(0, "gate_proj").shape;  // [width, hidden]
  MemoryCheckpoint::Tensor gate_up{
      experts + "." + names.first, {n, 2 * gate_shape[0], gate_shape[1]}, {}};
  MemoryCheckpoint::Tensor down{
      experts + "." + names.second, {n, gate_shape[1], gate_shape[0]}, {}};
  const auto move = [&](int64_t e, const char* part, MemoryCheckpoint::Tensor& to) {
    const MemoryCheckpoint::Tensor from = one(e, part);
    to.values.insert(to.values.end(), from.values.begin(), from.values.end());
    checkpoint.erase(from.name);
  };
  for (int64_t e = 0; e < n; ++e) {
    move(e, "gate_proj", gate_up);
    move(e, "up_proj", gate_up);
    move(e, "down_proj", down);
  }
  checkpoint.contents().push_back(std::move(gate_up));
  checkpoint.contents().push_back(std::move(down));
  checkpoint.reindex();
}

// Each expert's own tensors from the stacks of a layer.
void split_experts(MemoryCheckpoint& checkpoint, const std::string& experts) {
  const MemoryCheckpoint::Tensor gate_up = checkpoint.tensor(experts + ".gate_up_proj");
  const MemoryCheckpoint::Tensor down = checkpoint.tensor(experts + ".down_proj");
  checkpoint.erase(gate_up.name);
  checkpoint.erase(down.name);
  const int64_t hidden = gate_up.shape[2];
  const int64_t width = down.shape[2];
  const auto n = static_cast<ptrdiff_t>(width * hidden);
  const auto add = [&](int64_t e, const char* part, const Shape& shape, const auto& begin) {
    checkpoint.contents().push_back(
        {fmt::format("{}.{}.{}.weight", experts, e, part), shape, {begin, begin + n}});
  };
  for (int64_t e = 0; e < gate_up.shape[0]; ++e) {
    add(e, "gate_proj", {width, hidden}, gate_up.values.begin() + 2 * e * n);
    add(e, "up_proj", {width, hidden}, gate_up.values.begin() + (2 * e + 1) * n);
    add(e, "down_proj", {hidden, width}, down.values.begin() + e * n);
  }
  checkpoint.reindex();
}

TEST(GoldenExperts, SingleAndFusedTensorsAreTheSame) {
  for (const auto& [name, n] : {std::pair{"qwen3_moe", 6}, std::pair{"glm4_moe_lite_groups", 8}}) {
    const Golden golden(name);
    const std::vector<float> expected = Runner(*golden.checkpoint).run(golden.tokens);
    for (const auto& names : {std::pair<std::string, std::string>{"gate_up_proj", "down_proj"},
                              {"gate_up_proj.weight", "down_proj.weight"},
                              {"w13_weight", "w2_weight"}}) {
      MemoryCheckpoint checkpoint(*golden.checkpoint);
      for (const int layer : {0, 1, 2}) {
        const std::string experts = fmt::format("model.layers.{}.mlp.experts", layer);
        if (golden.checkpoint->find(experts + ".0.up_proj.weight") == nullptr) continue;
        fuse_experts(checkpoint, experts, n, names);
      }
      EXPECT_EQ(Runner(checkpoint).run(golden.tokens), expected) << name << " " << names.first;
    }
  }
}

TEST(GoldenExperts, FusedAndSingleTensorsAreTheSame) {
  const Golden golden("gemma4_moe");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  for (const int layer : {0, 1, 2}) {
    split_experts(checkpoint, fmt::format("model.layers.{}.experts", layer));
  }
  EXPECT_EQ(Runner(checkpoint).run(golden.tokens), Runner(*golden.checkpoint).run(golden.tokens));
}

}  // namespace
}  // namespace tq::test
