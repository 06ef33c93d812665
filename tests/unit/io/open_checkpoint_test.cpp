#include <gtest/gtest.h>

#include <string>

#include "io/checkpoint.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"
#include "support/shapes_only.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::shape_entry;
using fixtures::ShapesOnly;
using fixtures::TempDir;
using fixtures::write_bytes;

TEST(OpenCheckpoint, SaysWhatIsMissing) {
  const TempDir dir;
  expect_error(ErrorCode::kNotFound, {(dir / "gone").string(), "no such file or folder"},
               [&] { open_checkpoint(dir / "gone"); });
  expect_error(ErrorCode::kNotFound, {dir.path().string(), "no files", "accepted is"},
               [&] { open_checkpoint(dir.path()); });
  write_bytes(dir / "pytorch_model.bin", "x");
  expect_error(ErrorCode::kNotFound, {"pytorch_model.bin", "accepted is"},
               [&] { open_checkpoint(dir.path()); });
  expect_error(ErrorCode::kUnsupported, {"pytorch_model.bin", "neither GGUF nor safetensors"},
               [&] { open_checkpoint(dir / "pytorch_model.bin"); });
  write_bytes(dir / "nothing", "");
  expect_error(ErrorCode::kCorrupt, {"nothing", "is empty"},
               [&] { open_checkpoint(dir / "nothing"); });
}

TEST(OpenCheckpoint, TellsFilesByTheirContent) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "weights.dat");
  EXPECT_EQ(open_checkpoint(dir / "weights.dat")->kind(), CheckpointKind::kHuggingFace);
  write_bytes(dir / "short.safetensors", "x");
  expect_error(ErrorCode::kCorrupt, {"short.safetensors", "too few"},
               [&] { open_checkpoint(dir / "short.safetensors"); });
  write_bytes(dir / "model.bin", "GGUF");
  expect_error(ErrorCode::kCorrupt, {"model.bin"}, [&] { open_checkpoint(dir / "model.bin"); });
}

TEST(OpenCheckpoint, AsksWhichOfSeveralGgufFiles) {
  const TempDir dir;
  write_bytes(dir / "a.gguf", "GGUF");
  expect_error(ErrorCode::kCorrupt, {"a.gguf"}, [&] { open_checkpoint(dir.path()); });
  write_bytes(dir / "b.gguf", "GGUF");
  expect_error(ErrorCode::kInvalidArgument, {"2 GGUF files", "a.gguf, b.gguf"},
               [&] { open_checkpoint(dir.path()); });
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  EXPECT_EQ(open_checkpoint(dir.path())->kind(), CheckpointKind::kHuggingFace);
}

TEST(OpenCheckpoint, ANameThatIsTooLongIsInvalid) {
  const TempDir dir;
  expect_error(ErrorCode::kInvalidArgument, {"too long"},
               [&] { open_checkpoint(dir / std::string(300, 'x')); });
}

TEST(OpenCheckpoint, RefusesJang) {
  const TempDir dir;
  write_bytes(dir / "jang_config.json", "{}");
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  expect_error(ErrorCode::kUnsupported, {"JANG"}, [&] { open_checkpoint(dir.path()); });
}

TEST(OpenCheckpoint, RefusesADescriptionOfNeitherKind) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  for (const std::string text : {"{}", R"({"version":1})", R"({"rank":4})"}) {
    write_bytes(dir / "tq_config.json", text);
    expect_error(ErrorCode::kUnsupported, {"tq_config.json", "neither"},
                 [&] { open_checkpoint(dir.path()); });
  }
  for (const char* text : {"[]", "7"}) {
    write_bytes(dir / "tq_config.json", text);
    expect_error(ErrorCode::kCorrupt, {(dir / "tq_config.json").string(), "object"},
                 [&] { open_checkpoint(dir.path()); });
  }
  write_bytes(dir / "tq_config.json", "{\"version\":1,\"version\":1}");
  expect_error(ErrorCode::kCorrupt, {"tq_config.json", "duplicate"},
               [&] { open_checkpoint(dir.path()); });
}

TEST(OpenCheckpoint, MissesTheDescriptionOfANativeCheckpoint) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  write_bytes(dir / "config.json",
              R"({"quantization_config":{"quant_method":"turboquant","version":1}})");
  expect_error(ErrorCode::kNotFound, {"tq_config.json"}, [&] { open_checkpoint(dir.path()); });
}

TEST(Checkpoint, FindsTensorsByName) {
  const ShapesOnly listed(
      {shape_entry("c", {2, 3}), shape_entry("a", {5}), shape_entry("b", {2, 3, 4})});
  EXPECT_EQ(listed.tensors()[0].name, "c");
  EXPECT_EQ(listed.find("a")->index, 1);
  EXPECT_EQ(listed.find("b")->n_rows(), 6);
  EXPECT_EQ(listed.find("b")->n_elements(), 24);
  EXPECT_EQ(listed.find(""), nullptr);
  EXPECT_EQ(listed.find("d"), nullptr);
  expect_error(ErrorCode::kCorrupt, {"\"a\" twice"}, [] {
    ShapesOnly({shape_entry("a", {1}), shape_entry("b", {1}), shape_entry("a", {2})});
  });
}

// A name that is no path is the finder's, a path never.
TEST(OpenCheckpoint, FindsModelsByName) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  int asked = 0;
  set_checkpoint_finder([&](const fs::path& name) -> std::optional<fs::path> {
    ++asked;
    if (name == "org/name") return dir / "model.safetensors";
    if (name == "org/gone") return dir / "gone";
    return std::nullopt;
  });
  EXPECT_EQ(open_checkpoint("org/name")->path(), dir / "model.safetensors");
  EXPECT_THROW(open_checkpoint("org/gone"), Error);
  EXPECT_THROW(open_checkpoint("org/other"), Error);
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(open_checkpoint(dir / "model.safetensors")->path(), dir / "model.safetensors");
  EXPECT_EQ(asked, 3);
  set_checkpoint_finder({});
}

}  // namespace
}  // namespace tq
