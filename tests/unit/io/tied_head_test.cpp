// Whether the head is the embedding table: what the files hold outranks what config.json says.
#include "io/tied_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/gguf_builder.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::tiny_gguf;
using fixtures::write_bytes;
using ::testing::HasSubstr;

struct Names {
  std::string embedding = "model.embed_tokens.weight";
  std::string head = "lm_head.weight";
};

// A folder with an embedding table of 3 x 2 and a head.
std::unique_ptr<Checkpoint> open(const TempDir& dir, const std::string& config,
                                 const std::vector<float>& head, DType dtype = DType::kF32,
                                 const Names& names = {}) {
  const std::vector<float> table = {1, 2, 3, 4, 5, 6};
  SafetensorsBuilder()
      .add_floats(names.embedding, {3, 2}, table)
      .add_floats(names.head, {static_cast<int64_t>(head.size()) / 2, 2}, head, dtype)
      .write(dir / "model.safetensors");
  write_bytes(dir / "config.json", config);
  ::testing::internal::CaptureStderr();
  auto checkpoint = open_checkpoint(dir.path());
  return checkpoint;
}

std::string notes() { return ::testing::internal::GetCapturedStderr(); }

TEST(TiedHead, AnotherHeadIsUsedThoughTheConfigSaysTied) {
  const TempDir dir;
  const auto checkpoint =
      open(dir, R"({"model_type":"llama","tie_word_embeddings":true})", {1, 2, 3, 4, 5, 6.5});
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  EXPECT_EQ(checkpoint->head_copy(), nullptr);
  const std::string said = notes();
  EXPECT_THAT(said, HasSubstr("lm_head.weight holds other weights: it is used"));
}

TEST(TiedHead, ACopyIsTiedThoughTheConfigSaysNot) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const TempDir dir;
    const auto checkpoint =
        open(dir, R"({"tie_word_embeddings":false})", {1, 2, 3, 4, 5, 6}, dtype);
    EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], true);
    EXPECT_EQ(checkpoint->head_copy(), checkpoint->find("lm_head.weight"));
    EXPECT_THAT(notes(), HasSubstr("is a copy of model.embed_tokens.weight"));
  }
}

TEST(TiedHead, AHeadOfAnotherShapeIsNoCopy) {
  const TempDir dir;
  const auto checkpoint = open(dir, R"({"tie_word_embeddings":true})", {1, 2, 3, 4});
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  notes();
}

TEST(TiedHead, SilentConfigsMeanWhatTheirArchitectureDoes) {
  for (const auto& [config, told] : {std::pair{R"({"model_type":"llama"})", false},
                                     std::pair{R"({"model_type":"gemma3_text"})", true}}) {
    const TempDir dir;
    const auto checkpoint = open(dir, config, {0, 0, 0, 0, 0, 0});
    EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
    EXPECT_EQ(!notes().empty(), told) << config;
  }
}

TEST(TiedHead, MultimodalConfigsAreChangedInBothPlaces) {
  const TempDir dir;
  const Names names{"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"};
  const auto checkpoint =
      open(dir, R"({"tie_word_embeddings":true,"text_config":{"tie_word_embeddings":true}})",
           {0, 0, 0, 0, 0, 0}, DType::kF32, names);
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  EXPECT_EQ(checkpoint->config()["text_config"]["tie_word_embeddings"], false);
  notes();
}

TEST(TiedHead, WithoutAHeadTheConfigIsBelieved) {
  const TempDir dir;
  SafetensorsBuilder()
      .add_floats("model.embed_tokens.weight", {1, 2}, std::vector<float>{1, 2})
      .write(dir / "model.safetensors");
  write_bytes(dir / "config.json", R"({"tie_word_embeddings":false})");
  EXPECT_EQ(open_checkpoint(dir.path())->config()["tie_word_embeddings"], false);
}

TEST(TiedHead, GgufAlike) {
  const TempDir dir;
  tiny_gguf("llama", {.tied = false}).write(dir / "own.gguf");
  const auto own = open_checkpoint(dir / "own.gguf");
  EXPECT_EQ(own->config()["tie_word_embeddings"], false);
  EXPECT_EQ(own->head_copy(), nullptr);

  std::vector<float> table(40 * 64);
  own->read_rows(*own->find("model.embed_tokens.weight"), 0, 40, table.data());
  auto builder = tiny_gguf("llama");
  builder.tensor("output.weight", {40, 64}, table).write(dir / "copy.gguf");
  const auto copy = open_checkpoint(dir / "copy.gguf");
  EXPECT_EQ(copy->config()["tie_word_embeddings"], true);
  EXPECT_EQ(copy->head_copy(), copy->find("lm_head.weight"));
}

TEST(SameValues, ComparesEveryRow) {
  const TempDir dir;
  const int64_t rows = 3000;  // more than are compared at once
  std::vector<float> values(static_cast<size_t>(rows) * 128, 0.25f);
  SafetensorsBuilder builder;
  builder.add_floats("a", {rows, 128}, values).add_floats("b", {rows, 128}, values);
  builder.add_floats("half", {rows, 128}, values, DType::kF16);
  values.back() = 0.5f;
  builder.add_floats("last", {rows, 128}, values);
  builder.add("i8", DType::kI8, {rows, 128}, std::string(static_cast<size_t>(rows) * 128, '\0'));
  builder.write(dir / "m.safetensors");
  const auto checkpoint = open_checkpoint(dir / "m.safetensors");
  const auto same = [&](const char* name) {
    return same_values(*checkpoint, *checkpoint->find("a"), *checkpoint->find(name));
  };
  EXPECT_TRUE(same("b"));
  EXPECT_TRUE(same("half"));
  EXPECT_FALSE(same("last"));
  EXPECT_FALSE(same("i8"));
}

}  // namespace
}  // namespace tq
