#include "io/synth/synth_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/float16.h"
#include "io/checkpoint.h"
#include "io/synth/synth_models.h"
#include "io/synth/synth_tokenizer.h"
#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::ElementsAre;

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// What transformers 5.17.0 (Mistral, Phi, SmolLM3, gpt-oss and Qwen3.5: 5.19.0) makes of the
// published configs: tensors in a saved checkpoint, their parameters (buffers too), and the hash of
// "name [shape]\n" over all of them by name. The parameters of the models that others have
// published counts of agree with those.
struct Published {
  std::string_view name;
  size_t n_tensors;
  int64_t n_parameters;
  uint64_t names_and_shapes;
};
constexpr std::array kPublished{
    Published{"gemma-3-1b", 340, 999885952, 0x1c369e9e0b0ecd2f},
    Published{"gemma-3-270m", 236, 268098176, 0xee68e7a8094a9a5b},
    Published{"gemma-4-12B", 666, 11907350320, 0xe8116e5c3acc9d87},
    Published{"gemma-4-26B-A4B", 657, 25233141790, 0xde9f7652ee7cb6de},
    Published{"gemma-4-31B", 832, 30697345340, 0x88fee0eb10b59765},
    Published{"gemma-4-E2B", 540, 4628569379, 0xdc05bac984d1fe05},
    Published{"gemma-4-E4B", 665, 7463013418, 0x5662a1e538bc750c},
    Published{"glm-4.7-flash", 9491, 29943393920, 0x64a11e1b90b487f8},
    Published{"gpt-oss-120b", 687, 116829156672, 0xee9c768eb63bab25},
    Published{"gpt-oss-20b", 459, 20914757184, 0x1eb97faffac2ad9f},
    Published{"ministral-3-3b", 236, 3429006336, 0x455574bd1ecf248a},
    Published{"ministral-3-8b", 309, 8489553920, 0xc85888166b486c57},
    Published{"mistral-nemo-12b", 363, 12247782400, 0x18ffbec126e82c97},
    Published{"phi-4", 243, 14659507200, 0xad16dcd99206a2bf},
    Published{"qwen3-0.6B", 310, 596049920, 0x793839608050d0ce},
    Published{"qwen3-1.7B", 310, 1720574976, 0xbb3abe2adc1e7294},
    Published{"qwen3-14B", 443, 14768307200, 0xd627d1c0fb6d8105},
    Published{"qwen3-235B-A22B", 36945, 235093634560, 0x904eca1ecd9092c7},
    Published{"qwen3-30B-A3B", 18867, 30532122624, 0xd461c3bdee425bfb},
    Published{"qwen3-32B", 707, 32762123264, 0xb7efad2a396a4cad},
    Published{"qwen3-4B", 398, 4022468096, 0x0263447626190224},
    Published{"qwen3-8B", 399, 8190735360, 0x226e4f0aaf6ef0bc},
    Published{"qwen3.5-0.8B", 320, 752393024, 0x53adeb3b559649f1},
    Published{"qwen3.5-122B-A10B", 831, 122111526912, 0x250fe2e2f061b3ad},
    Published{"qwen3.5-4B", 426, 4205751296, 0xb24896eaacddfa7e},
    Published{"qwen3.5-9B", 427, 8953803264, 0xd0d45765e095a986},
    Published{"qwen3.6-27B", 851, 26895998464, 0xd9bd7fb09fa3ea98},
    Published{"qwen3.6-35B-A3B", 693, 34660610688, 0x996e0ae0d5dfaa37},
    Published{"smollm3-3b", 326, 3075098624, 0x8e417b918620cddd},
    Published{"smollm2-135m", 272, 134515008, 0x59e503438d8cc0eb},
};

TEST(SynthCheckpoint, HasThePublishedTensors) {
  EXPECT_EQ(synth_model_names().size(), kPublished.size());
  for (const Published& published : kPublished) {
    const auto checkpoint = open_checkpoint("synth:" + std::string(published.name));
    EXPECT_EQ(checkpoint->tensors().size(), published.n_tensors) << published.name;
    int64_t n_parameters = 0;
    std::vector<std::string> lines;
    for (const TensorEntry& tensor : checkpoint->tensors()) {
      n_parameters += tensor.n_elements();
      lines.push_back(tensor.name + " " + shape_string(tensor.shape) + "\n");
    }
    EXPECT_EQ(n_parameters, published.n_parameters) << published.name;
    std::sort(lines.begin(), lines.end());
    std::string all;
    for (const std::string& line : lines) all += line;
    EXPECT_EQ(fnv1a(all), published.names_and_shapes) << published.name << "\n"
                                                      << all.substr(0, 2000);
  }
}

TEST(SynthCheckpoint, LooksLikeAHuggingFaceFolder) {
  const auto checkpoint = open_checkpoint("synth:gemma-4-26B-A4B");
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kSynthetic);
  EXPECT_EQ(checkpoint_kind_name(checkpoint->kind()), "synthetic");
  EXPECT_EQ(checkpoint->path(), "synth:gemma-4-26B-A4B");
  EXPECT_TRUE(checkpoint->files().empty());
  const Json& config = checkpoint->config();
  EXPECT_EQ(config["model_type"], "gemma4");
  EXPECT_EQ(config["eos_token_id"], kSynthEosId);
  const Json& text = config["text_config"];
  EXPECT_EQ(text["num_experts"], 128);
  ASSERT_EQ(text["layer_types"].size(), 30u);
  EXPECT_EQ(text["layer_types"][4], "sliding_attention");
  EXPECT_EQ(text["layer_types"][5], "full_attention");

  const TensorEntry* experts = checkpoint->find("model.language_model.layers.7.experts.down_proj");
  ASSERT_NE(experts, nullptr);
  EXPECT_THAT(experts->shape, ElementsAre(128, 2816, 704));
  EXPECT_EQ(experts->storage, "bf16");
  EXPECT_EQ(experts->stored_bytes, int64_t{128} * 2816 * 704 * 2);
  EXPECT_EQ(experts->dtype, std::nullopt);
  EXPECT_EQ(checkpoint->view(*experts), std::nullopt);

  const auto glm = open_checkpoint("synth:glm-4.7-flash");
  const TensorEntry* bias = glm->find("model.layers.46.mlp.gate.e_score_correction_bias");
  ASSERT_NE(bias, nullptr);
  EXPECT_EQ(bias->storage, "f32");
  EXPECT_EQ(bias->stored_bytes, 64 * 4);
}

TEST(SynthCheckpoint, HasATokenizerOfBytes) {
  const auto checkpoint = open_checkpoint("synth:qwen3-0.6B");
  EXPECT_THAT(checkpoint->text_files(), ElementsAre("tokenizer.json", "tokenizer_config.json"));
  EXPECT_EQ(checkpoint->text_file("chat_template.jinja"), std::nullopt);
  const Json tokenizer = parse_json(*checkpoint->text_file("tokenizer.json"), "tokenizer.json");
  const Json& vocab = tokenizer["model"]["vocab"];
  EXPECT_EQ(vocab.size(), 256u);  // parse_json refuses duplicate keys
  EXPECT_EQ(vocab["A"], 'A');
  EXPECT_EQ(vocab["Ġ"], ' ');
  EXPECT_EQ(vocab["ÿ"], 255);
  EXPECT_EQ(tokenizer["added_tokens"][0]["id"], kSynthEosId);
  EXPECT_EQ(parse_json(*checkpoint->text_file("tokenizer_config.json"), "")["eos_token"],
            tokenizer["added_tokens"][0]["content"]);
}

TEST(SynthCheckpoint, NamesTheModelsThereAre) {
  expect_error(ErrorCode::kNotFound, {"synth:gpt-5", "no such synthetic model", "qwen3-8B"},
               [] { open_checkpoint("synth:gpt-5"); });
  expect_error(ErrorCode::kNotFound, {"./synth:qwen3-8B", "no such file"},
               [] { open_checkpoint("./synth:qwen3-8B"); });
  EXPECT_EQ(synth_model_name("synth:a"), "a");
  EXPECT_EQ(synth_model_name("models/synth:a"), std::nullopt);
}

std::vector<float> read(const Checkpoint& checkpoint, std::string_view name, int64_t row,
                        int64_t n_rows) {
  const TensorEntry* tensor = checkpoint.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  std::vector<float> out(static_cast<size_t>(n_rows * tensor->in()));
  checkpoint.read_rows(*tensor, row, n_rows, out.data());
  return out;
}

struct Moments {
  double mean = 0;
  double deviation = 0;
};

Moments moments(const std::vector<float>& values) {
  Moments m;
  for (const float value : values) m.mean += value;
  m.mean /= static_cast<double>(values.size());
  for (const float value : values) m.deviation += (value - m.mean) * (value - m.mean);
  m.deviation = std::sqrt(m.deviation / static_cast<double>(values.size()));
  return m;
}

TEST(SynthCheckpoint, RowsDoNotDependOnHowTheyAreRead) {
  const auto checkpoint = open_checkpoint("synth:smollm2-135m");
  const char* name = "model.layers.3.mlp.down_proj.weight";
  const std::vector<float> block = read(*checkpoint, name, 100, 3);
  const std::vector<float> row = read(*checkpoint, name, 101, 1);
  EXPECT_TRUE(std::equal(row.begin(), row.end(), block.begin() + 1536));
  EXPECT_EQ(read(*open_checkpoint("synth:smollm2-135m"), name, 101, 1), row);
  EXPECT_NE(read(*checkpoint, name, 102, 1), row);
  EXPECT_NE(read(*checkpoint, "model.layers.4.mlp.down_proj.weight", 101, 1), row);
}

// The values are part of what a synthetic model is: its compressed sizes and outputs are compared
// between machines and versions.
TEST(SynthCheckpoint, ValuesAreTheSameEverywhere) {
  const auto checkpoint = open_checkpoint("synth:smollm2-135m");
  const std::vector<float> row = read(*checkpoint, "model.layers.0.self_attn.q_proj.weight", 5, 1);
  std::string bits;
  for (const float value : row) bits += fmt::format("{:04x}", f32_to_bf16(value));
  EXPECT_EQ(fnv1a(bits), 1110992673376835546u) << bits.substr(0, 32);
}

TEST(SynthCheckpoint, ValuesAreNormalAndExactInBf16) {
  const auto checkpoint = open_checkpoint("synth:smollm2-135m");
  const std::vector<float> values =
      read(*checkpoint, "model.layers.0.self_attn.q_proj.weight", 0, 576);
  const Moments m = moments(values);
  EXPECT_NEAR(m.mean, 0, 3e-4);
  EXPECT_NEAR(m.deviation, 1 / 24.0, 2e-4);  // 1 / sqrt(576)
  double fourth = 0;
  double neighbours = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(bf16_to_f32(f32_to_bf16(values[i])), values[i]);
    fourth += std::pow(values[i] / m.deviation, 4);
    if (i > 0) neighbours += values[i] * values[i - 1] / (m.deviation * m.deviation);
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(fourth / n, 2.7, 0.02);  // 3 - 6 / (5 * 4): a sum of four uniform numbers
  EXPECT_NEAR(neighbours / n, 0, 0.01);

  const Moments norm = moments(read(*checkpoint, "model.layers.0.input_layernorm.weight", 0, 1));
  EXPECT_NEAR(norm.mean, 1, 0.02);
  EXPECT_NEAR(norm.deviation, 0.1, 0.01);
}

// A length that is no multiple of the generator's lanes reads a prefix of the longer row.
TEST(SynthValues, ShortRowsAreFilled) {
  const uint64_t key = synth_key("model", "tensor");
  std::vector<float> whole(64);
  synth_row(key, 7, {0.5f, 2}, whole);
  for (const size_t n : {0u, 1u, 15u, 16u, 17u, 63u}) {
    std::vector<float> part(n + 1, -1000);
    synth_row(key, 7, {0.5f, 2}, std::span(part).first(n));
    EXPECT_TRUE(std::equal(part.begin(), part.end() - 1, whole.begin())) << n;
    EXPECT_EQ(part.back(), -1000);
  }
  EXPECT_NE(synth_key("a", "b"), synth_key("a", "c"));
}

}  // namespace
}  // namespace tq
