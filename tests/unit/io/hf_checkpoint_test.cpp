#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::raw_safetensors;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;
using ::testing::ElementsAre;

std::vector<float> read_all(const Checkpoint& checkpoint, std::string_view name) {
  const TensorEntry* tensor = checkpoint.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  std::vector<float> out(static_cast<size_t>(tensor->n_elements()), -1);
  checkpoint.read_rows(*tensor, 0, tensor->n_rows(), out.data());
  return out;
}

TEST(HfCheckpoint, PresentsTensorsConfigAndFiles) {
  const TempDir dir;
  const float values[] = {1, 2, 3, 4, 5, 6};
  SafetensorsBuilder()
      .add_floats("w", {3, 2}, values, DType::kBF16)
      .add_floats("norm", {6}, values, DType::kF32)
      .add_floats("scale", {}, std::span(values).first(1), DType::kF16)
      .write(dir / "model.safetensors");
  write_bytes(dir / "config.json", R"({"model_type":"llama","hidden_size":2})");
  write_bytes(dir / "tokenizer.json", "{}");
  write_bytes(dir / "chat_template.jinja", "{{ x }}");
  write_bytes(dir / "secret.txt", "no");

  const auto checkpoint = open_checkpoint(dir.path());
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kHuggingFace);
  EXPECT_EQ(checkpoint_kind_name(checkpoint->kind()), "Hugging Face");
  EXPECT_EQ(checkpoint->config()["model_type"], "llama");
  EXPECT_THAT(checkpoint->text_files(), ElementsAre("chat_template.jinja", "tokenizer.json"));
  EXPECT_EQ(checkpoint->text_file("chat_template.jinja"), "{{ x }}");
  EXPECT_EQ(checkpoint->text_file("secret.txt"), std::nullopt);
  EXPECT_EQ(checkpoint->text_file("vocab.json"), std::nullopt);
  EXPECT_EQ(checkpoint->text_file("../tokenizer.json"), std::nullopt);
  EXPECT_THAT(checkpoint->files(), ElementsAre(dir / "model.safetensors"));

  ASSERT_EQ(checkpoint->tensors().size(), 3u);
  const TensorEntry& w = checkpoint->tensors()[0];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.storage, "bf16");
  EXPECT_EQ(w.n_rows(), 3);
  EXPECT_EQ(w.in(), 2);
  EXPECT_EQ(w.stored_bytes, 12);
  EXPECT_EQ(checkpoint->find("norm")->index, 1);
  EXPECT_EQ(checkpoint->find("norm")->n_rows(), 1);
  EXPECT_EQ(checkpoint->find("scale")->n_elements(), 1);
  EXPECT_EQ(checkpoint->find("none"), nullptr);
  EXPECT_EQ(checkpoint->raw(w).size(), 12u);
}

TEST(HfCheckpoint, CopiesStoredBytes) {
  const TempDir dir;
  const float values[] = {1, 2, 3, 4, 5, 6};
  SafetensorsBuilder()
      .add_floats("a", {3}, std::span(values).first(3), DType::kBF16)
      .add_floats("w", {3, 2}, values, DType::kBF16)
      .write(dir / "model.safetensors");
  const auto checkpoint = open_checkpoint(dir.path());
  const TensorEntry& w = *checkpoint->find("w");
  const auto raw = checkpoint->raw(w);
  std::vector<uint8_t> part(7);
  checkpoint->read_raw(w, 5, part);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), raw.begin() + 5, raw.end()));
  EXPECT_THROW(checkpoint->read_raw(w, 6, part), Error);  // beyond the tensor, not the file
  EXPECT_THROW(checkpoint->read_raw(w, -1, part), Error);
}

TEST(HfCheckpoint, ReadsRowsOfEveryFloatDtype) {
  const TempDir dir;
  const float values[] = {0.5f, -2, 3, 1e-3f, 65504, 6};
  const double wide[] = {0.1, 1e300};
  SafetensorsBuilder()
      .add_floats("f32", {3, 2}, values)
      .add_floats("f16", {3, 2}, values, DType::kF16)
      .add_floats("bf16", {1, 3, 2}, values, DType::kBF16)
      .add("f64", DType::kF64, {2}, {reinterpret_cast<const char*>(wide), sizeof wide})
      .add("i64", DType::kI64, {1}, std::string(8, '\1'))
      .add("f8", DType::kF8E4M3, {2, 1}, "ab")
      .write(dir / "x.safetensors");
  const auto checkpoint = open_checkpoint(dir / "x.safetensors");
  EXPECT_THAT(read_all(*checkpoint, "f32"), ElementsAre(0.5f, -2, 3, 1e-3f, 65504, 6));
  EXPECT_THAT(read_all(*checkpoint, "f64"), ElementsAre(0.1f, INFINITY));
  EXPECT_EQ(read_all(*checkpoint, "f16")[3], f16_to_f32(f32_to_f16(1e-3f)));
  EXPECT_EQ(read_all(*checkpoint, "bf16")[3], bf16_to_f32(f32_to_bf16(1e-3f)));
  float row[2];
  checkpoint->read_rows(*checkpoint->find("bf16"), 2, 1, row);
  EXPECT_THAT(row, ElementsAre(65536, 6));  // 65504 in bf16
  for (const char* name : {"i64", "f8"}) {
    expect_error(ErrorCode::kUnsupported, {std::string("\"") + name + "\"", "only F64"},
                 [&] { read_all(*checkpoint, name); });
    EXPECT_EQ(checkpoint->view(*checkpoint->find(name)), std::nullopt);
  }
  EXPECT_EQ(checkpoint->find("f8")->storage, "f8_e4m3");
  expect_error(ErrorCode::kInternal, {"f32"},
               [&] { checkpoint->read_rows(*checkpoint->find("f32"), 2, 2, row); });
  EXPECT_TRUE(checkpoint->text_files().empty());  // a lone file has no folder
  EXPECT_TRUE(checkpoint->config().is_object());
}

TEST(HfCheckpoint, ViewsMatricesInPlaceAndSurvivesDroppedPages) {
  const TempDir dir;
  std::vector<float> values(2 * 64 * 64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251);
  SafetensorsBuilder()
      .add_floats("stack", {2, 64, 64}, values, DType::kBF16)
      .add_floats("vector", {64}, std::span(values).first(64), DType::kBF16)
      .write(dir / "model.safetensors");
  const auto checkpoint = open_checkpoint(dir.path());
  const TensorEntry& stack = *checkpoint->find("stack");
  const auto view = checkpoint->view(stack);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->traits().name, "bf16");
  EXPECT_EQ(view->experts, 2);
  EXPECT_EQ(view->rows, 64);
  EXPECT_EQ(view->in, 64);
  EXPECT_EQ(view->codes, checkpoint->raw(stack).data());
  checkpoint->drop_rows(stack, 0, 128);
  std::vector<float> row(64), scratch(64);
  decode_row_plain(*view, 100, row.data(), scratch.data());
  EXPECT_EQ(row[5], values[100 * 64 + 5]);
  EXPECT_EQ(checkpoint->view(*checkpoint->find("vector")), std::nullopt);
}

TEST(HfCheckpoint, DoesNotViewDataAtOddAddresses) {
  const TempDir dir;
  const std::string header = R"({"w":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}})";
  for (size_t pad = 0; pad < 2; ++pad) {
    write_bytes(dir / "model.safetensors",
                raw_safetensors(header + std::string(pad, ' '), std::string("\0\x3c\0\x40", 4)));
    const auto checkpoint = open_checkpoint(dir.path());
    const bool even = (8 + header.size() + pad) % 2 == 0;
    EXPECT_EQ(checkpoint->view(*checkpoint->find("w")).has_value(), even);
    EXPECT_THAT(read_all(*checkpoint, "w"), ElementsAre(1, 2));
  }
}

TEST(HfCheckpoint, ReadsEmptyTensors) {
  const TempDir dir;
  SafetensorsBuilder()
      .add("none", DType::kF32, {int64_t{1} << 40, 0}, "")
      .write(dir / "model.safetensors");
  const auto checkpoint = open_checkpoint(dir.path());
  EXPECT_EQ(checkpoint->find("none")->n_rows(), 0);
  EXPECT_TRUE(read_all(*checkpoint, "none").empty());
  EXPECT_EQ(checkpoint->view(*checkpoint->find("none")), std::nullopt);
  checkpoint->drop_rows(*checkpoint->find("none"), 0, 0);
}

TEST(HfCheckpoint, RefusesForeignQuantization) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  for (const std::string method : {"gptq", "awq", "fp8", "compressed-tensors"}) {
    for (const std::string prefix : {"{", R"({"text_config":{)"}) {
      const std::string quantization =
          R"("quantization_config":{"quant_method":")" + method + "\"}}";
      write_bytes(dir / "config.json", prefix + quantization + (prefix.size() > 1 ? "}" : ""));
      expect_error(ErrorCode::kUnsupported, {method, "config.json"},
                   [&] { open_checkpoint(dir.path()); });
    }
  }
  write_bytes(dir / "config.json", R"({"quantization_config":[4]})");
  expect_error(ErrorCode::kUnsupported, {"no quant_method"}, [&] { open_checkpoint(dir.path()); });
  write_bytes(dir / "config.json", R"({"quantization_config":null})");
  EXPECT_EQ(open_checkpoint(dir.path())->kind(), CheckpointKind::kHuggingFace);
}

TEST(HfCheckpoint, RefusesBrokenConfigs) {
  const TempDir dir;
  SafetensorsBuilder().add("w", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  for (const std::string text :
       {"", "[]", "3", "{", "{\"a\":1,\"a\":2}", "{\"a\":NaN}", "{\"a\":1e999}", "\xff"}) {
    SCOPED_TRACE(text);
    write_bytes(dir / "config.json", text);
    expect_error(ErrorCode::kCorrupt, {"config.json"}, [&] { open_checkpoint(dir.path()); });
  }
  write_bytes(dir / "config.json", std::string(1000, '['));
  expect_error(ErrorCode::kCorrupt, {"config.json"}, [&] { open_checkpoint(dir.path()); });
}

TEST(HfCheckpoint, RefusesPackedTensorsWithoutADescription) {
  const TempDir dir;
  SafetensorsBuilder().add("w.tq_packed", DType::kU8, {1}, "x").write(dir / "model.safetensors");
  for (const fs::path& path : {dir.path(), dir / "model.safetensors"}) {
    expect_error(ErrorCode::kUnsupported, {"w.tq_packed", "tq_config.json"},
                 [&] { open_checkpoint(path); });
  }
}

}  // namespace
}  // namespace tq
