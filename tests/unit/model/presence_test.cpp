// Tensors that a config denies and a checkpoint has: they are used, named, or refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/model/config_test_util.h"

namespace tq::test {
namespace {

using testing::HasSubstr;
using testing::Not;

Error load_error(const Checkpoint& checkpoint) {
  return error_of([&] { Runner runner(checkpoint); });
}

// The notes of loading, and the logits.
struct Loaded {
  Loaded(const Checkpoint& checkpoint, const std::vector<int32_t>& tokens) {
    testing::internal::CaptureStderr();
    Runner runner(checkpoint);
    notes = testing::internal::GetCapturedStderr();
    logits = runner.run(tokens);
  }
  std::string notes;
  std::vector<float> logits;
};

void add(MemoryCheckpoint& checkpoint, const std::string& name, const Shape& shape,
         float value = 0.5f) {
  int64_t n = 1;
  for (const int64_t dim : shape) n *= dim;
  checkpoint.contents().push_back({name, shape, std::vector<float>(static_cast<size_t>(n), value)});
  checkpoint.reindex();
}

// The golden model is tied; its head is given here, as the table times a factor.
std::vector<float> logits_with_head(float factor, bool tied) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  auto head = checkpoint.tensor("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  for (float& value : head.values) value *= factor;
  checkpoint.contents().push_back(std::move(head));
  checkpoint.reindex();
  checkpoint.config()["tie_word_embeddings"] = tied;
  checkpoint.settle_head();
  Runner runner(checkpoint);
  EXPECT_EQ(runner.model().spec().tied_head, factor == 1);
  return runner.run(golden.tokens);
}

TEST(Presence, TheHeadThatIsThereIsUsed) {
  const std::vector<float> expected = Golden("llama").logits;
  for (const bool tied : {false, true}) {
    EXPECT_LE(relative_difference(logits_with_head(1, tied), expected), kTolerance) << tied;
    std::vector<float> twice = expected;
    for (float& logit : twice) logit *= 2;
    EXPECT_LE(relative_difference(logits_with_head(2, tied), twice), kTolerance) << tied;
  }
}

// A checkpoint that was not compared (open_checkpoint does) is not believed.
TEST(Presence, AHeadThatNobodyComparedIsRefused) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  add(checkpoint, "lm_head.weight", {2});
  EXPECT_THAT(load_error(checkpoint).what(), HasSubstr("lm_head.weight"));
}

// The golden model has biases and its config says so: without the flag it computes the same.
TEST(Presence, BiasesOutrankTheirFlags) {
  const Golden golden("llama_bias_rope3");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  ASSERT_EQ(checkpoint.config()["attention_bias"], true);
  ASSERT_EQ(checkpoint.config()["mlp_bias"], true);
  EXPECT_THAT(Loaded(checkpoint, golden.tokens).notes, Not(HasSubstr("config says otherwise")));
  checkpoint.config()["attention_bias"] = false;
  checkpoint.config().erase("mlp_bias");
  const Loaded loaded(checkpoint, golden.tokens);
  EXPECT_LE(relative_difference(loaded.logits, golden.logits), kTolerance);
  EXPECT_THAT(loaded.notes, HasSubstr("config says otherwise, and are used, such as "
                                      "model.layers.0.self_attn.q_proj.bias"));
}

TEST(Presence, BiasesOfTheWrongShapeAreNamed) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  add(checkpoint, "model.layers.1.self_attn.q_proj.bias", {2});
  const Error error = load_error(checkpoint);
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("layers.1.self_attn.q_proj.bias has shape [2]"));
}

// Values of the keys' own matrix are what the config says; given as a tensor they change nothing,
// other ones do.
TEST(Presence, ValuesOfTheirOwnOutrankKeysAsValues) {
  const Golden golden("gemma4_moe");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  ASSERT_TRUE(checkpoint.config()["attention_k_eq_v"].get<bool>());
  std::string key;
  for (const TensorEntry& entry : checkpoint.tensors()) {
    std::string value = entry.name;
    const size_t at = value.find("k_proj");
    if (at == value.npos) continue;
    if (checkpoint.find(value.replace(at, 6, "v_proj")) == nullptr) key = entry.name;
  }
  ASSERT_FALSE(key.empty());
  MemoryCheckpoint::Tensor value = checkpoint.tensor(key);
  value.name.replace(value.name.find("k_proj"), 6, "v_proj");
  checkpoint.contents().push_back(value);
  checkpoint.reindex();
  const Loaded same(checkpoint, golden.tokens);
  EXPECT_LE(relative_difference(same.logits, golden.logits), kTolerance);
  EXPECT_THAT(same.notes, HasSubstr("such as " + value.name));
  std::reverse(checkpoint.tensor(value.name).values.begin(),
               checkpoint.tensor(value.name).values.end());
  EXPECT_GT(relative_difference(Loaded(checkpoint, golden.tokens).logits, golden.logits), 1e-2);
}

TEST(Presence, PartsOfTheDecoderThatNothingAsksForAreRefused) {
  const Golden golden("llama");
  for (const char* name : {"model.embed_positions.weight", "model.layers.0.self_attn.q_norm.weight",
                           "model.layers.2.mlp.up_proj.weight", "model.norm.bias", "lm_head.bias",
                           "model.layers.0.self_attn.q_proj.lora_A.weight"}) {
    MemoryCheckpoint checkpoint(*golden.checkpoint);
    add(checkpoint, name, {4});
    const Error error = load_error(checkpoint);
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << name;
    EXPECT_THAT(error.what(), HasSubstr(name));
  }
}

TEST(Presence, WhatPlaysNoPartInTextIsToldByKind) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  add(checkpoint, "model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  add(checkpoint, "model.layers.0.mlp.up_proj.weight_scale", {2});
  add(checkpoint, "model.vision_tower.patch.weight", {2});
  add(checkpoint, "v_head.summary.weight", {2});
  add(checkpoint, "mtp.fc.weight", {2});
  add(checkpoint, "model.layers.2.eh_proj.weight", {2});
  add(checkpoint, "model.layers.2.mlp.up_proj.weight", {2});
  add(checkpoint, "score.weight", {2});
  add(checkpoint, "score.bias", {2});
  const Loaded loaded(checkpoint, golden.tokens);
  EXPECT_LE(relative_difference(loaded.logits, golden.logits), kTolerance);
  for (const char* part :
       {"1 tensors (0.0 MB) with rotary angles", "1 tensors (0.0 MB) with scales",
        "1 tensors (0.0 MB) of images", "1 tensors (0.0 MB) of a value head",
        "3 tensors (0.0 MB) for multi-token prediction",
        "warning: memory: 2 tensors of \"score\" are not used by the model, such as "
        "score.weight"}) {
    EXPECT_THAT(loaded.notes, HasSubstr(part));
  }
}

}  // namespace
}  // namespace tq::test
