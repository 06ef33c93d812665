// OpenOptions: looking at checkpoints that cannot be run, and ignoring fields of their configs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "io/checkpoint.h"
#include "support/expect_error.h"
#include "support/gguf_builder.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::GgufBuilder;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::tiny_gguf;
using fixtures::write_bytes;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kIq4Xs = 23;

// The checkpoint is refused, and shown with the same words to one who only looks.
std::unique_ptr<Checkpoint> look(const fs::path& path, ErrorCode code, const std::string& part) {
  expect_error(code, {part}, [&] { open_checkpoint(path); });
  auto checkpoint = open_checkpoint(path, {.inspect = true});
  EXPECT_TRUE(checkpoint->problem().has_value());
  if (checkpoint->problem()) {
    EXPECT_THAT(checkpoint->problem()->what(), HasSubstr(part));
    EXPECT_EQ(checkpoint->problem()->code(), code);
  }
  return checkpoint;
}

GgufBuilder of_arch(const std::string& arch) {
  GgufBuilder builder;
  builder.string("general.architecture", arch);
  return builder.tensor("token_embd.weight", {4, 8}).tensor("blk.0.ssm_in.weight", {8, 8});
}

TEST(InspectCheckpoint, GgufOfAnyArchitecture) {
  const TempDir dir;
  of_arch("mamba2").write(dir / "m.gguf");
  const auto checkpoint = look(dir / "m.gguf", ErrorCode::kUnsupported, "mamba2");
  EXPECT_EQ(checkpoint->config()["model_type"], "mamba2");
  ASSERT_EQ(checkpoint->tensors().size(), 2u);
  EXPECT_EQ(checkpoint->find("blk.0.ssm_in.weight")->shape, (Shape{8, 8}));
  EXPECT_EQ(checkpoint->find("blk.0.ssm_in.weight")->storage, "f32");
}

TEST(InspectCheckpoint, GgufWithTypesThatAreNotRead) {
  const TempDir dir;
  auto builder = tiny_gguf("llama");
  builder.erase_tensor("blk.0.ffn_up.weight")
      .tensor("blk.0.ffn_up.weight", kIq4Xs, {2, 256}, std::string(2 * 136, '\0'))
      .write(dir / "m.gguf");
  const auto checkpoint = look(dir / "m.gguf", ErrorCode::kUnsupported, "23 (iq4_xs)");
  EXPECT_EQ(checkpoint->find("blk.0.ffn_up.weight")->storage, "iq4_xs");
  EXPECT_EQ(checkpoint->find("blk.0.ffn_up.weight")->stored_bytes, 272);
}

TEST(InspectCheckpoint, GgufWithMetadataOrTensorsThatAreNotUnderstood) {
  const TempDir dir;
  tiny_gguf("llama").f32("llama.logit_scale", 0.5f).write(dir / "key.gguf");
  look(dir / "key.gguf", ErrorCode::kUnsupported, "llama.logit_scale");
  tiny_gguf("llama").tensor("blk.0.attn_sinks.weight", {4}).write(dir / "tensor.gguf");
  look(dir / "tensor.gguf", ErrorCode::kUnsupported, "blk.0.attn_sinks.weight");
  tiny_gguf("llama").u32("split.count", 2).write(dir / "split.gguf");
  look(dir / "split.gguf", ErrorCode::kUnsupported, "split");
}

TEST(InspectCheckpoint, FoldersOfOtherCompressions) {
  const TempDir dir;
  SafetensorsBuilder().add("w.tq_packed", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  EXPECT_EQ(look(dir.path(), ErrorCode::kUnsupported, "tq_config.json")->tensors().size(), 1u);
  write_bytes(dir / "config.json", R"({"quantization_config":{"quant_method":"awq"}})");
  EXPECT_EQ(look(dir.path(), ErrorCode::kUnsupported, "awq")->tensors()[0].name, "w.tq_packed");
  write_bytes(dir / "config.json", R"({"quantization_config":{"quant_method":"turboquant",
                                                              "version":1}})");
  look(dir.path(), ErrorCode::kNotFound, "tq_config.json");
  write_bytes(dir / "tq_config.json", R"({"rank":4})");
  look(dir.path(), ErrorCode::kUnsupported, "neither");
  write_bytes(dir / "jang_config.json", "{}");
  look(dir.path(), ErrorCode::kUnsupported, "JANG");
}

TEST(InspectCheckpoint, DamageStaysAnError) {
  const TempDir dir;
  write_bytes(dir / "m.gguf", "GGUF");
  expect_error(ErrorCode::kCorrupt, {"m.gguf"},
               [&] { open_checkpoint(dir / "m.gguf", {.inspect = true}); });
}

TEST(IgnoreConfig, RemovesFieldsAtAnyDepth) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  write_bytes(dir / "config.json", R"({"a": 1, "b": {"c": 2, "d": 3},
                                       "text_config": {"a": 4, "e": 5}})");
  ::testing::internal::CaptureStderr();
  const auto checkpoint = open_checkpoint(dir.path(), {.ignore_config = {"a", "b.d", "f"}});
  EXPECT_EQ(checkpoint->config(), (Json{{"b", {{"c", 2}}}, {"text_config", {{"e", 5}}}}));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("\"a\" = 1 is ignored"), HasSubstr("\"d\" = 3"),
                    HasSubstr("no field \"f\"")));
}

TEST(IgnoreConfig, AQuantizationThatIsNoLongerTrue) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  write_bytes(dir / "config.json", R"({"quantization_config":{"quant_method":"bitsandbytes"}})");
  EXPECT_EQ(open_checkpoint(dir.path(), {.ignore_config = {"quantization_config"}})->kind(),
            CheckpointKind::kHuggingFace);
}

TEST(IgnoreConfig, MetadataKeysOfGguf) {
  const TempDir dir;
  tiny_gguf("llama")
      .f32("llama.logit_scale", 0.5f)
      .string("llama.rope.scaling.type", "yarn")
      .write(dir / "m.gguf");
  ::testing::internal::CaptureStderr();
  const auto checkpoint = open_checkpoint(
      dir / "m.gguf",
      {.ignore_config = {"llama.logit_scale", "llama.rope.scaling.type", "llama.other"}});
  EXPECT_TRUE(checkpoint->config()["rope_scaling"].is_null());
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      AllOf(HasSubstr("llama.logit_scale is ignored"), HasSubstr("no metadata key llama.o")));
  expect_error(ErrorCode::kUnsupported, {"--ignore-config llama.logit_scale"}, [&] {
    open_checkpoint(dir / "m.gguf", {.ignore_config = {"llama.rope.scaling.type"}});
  });
}

}  // namespace
}  // namespace tq
