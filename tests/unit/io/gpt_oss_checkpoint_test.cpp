// How the experts of gpt-oss lie in its checkpoints, and broken ones. Whole models of both forms:
// unit/model/golden_test.cpp.
#include "io/gpt_oss/gpt_oss_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;
using ::testing::ElementsAre;

const std::string kExperts = "model.layers.0.mlp.experts.";

std::string f32_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

struct GptOssFolder {
  explicit GptOssFolder(const SafetensorsBuilder& builder,
                        const std::string& quantization = R"({"quant_method": "mxfp4"})") {
    builder.write(folder / "model.safetensors");
    write_bytes(folder / "config.json",
                R"({"model_type": "gpt_oss", "quantization_config": )" + quantization + "}");
  }
  std::unique_ptr<Checkpoint> open() const { return open_checkpoint(folder.path()); }
  TempDir folder;
};

std::vector<float> rows_of(const Checkpoint& checkpoint, const std::string& name, int64_t first,
                           int64_t n) {
  const TensorEntry& entry = *checkpoint.find(name);
  std::vector<float> values(static_cast<size_t>(n * entry.in()));
  checkpoint.read_rows(entry, first, n, values.data());
  return values;
}

// 2 experts of 4 rows (gate 0, up 0, gate 1, up 1) of one group of 32.
SafetensorsBuilder packed_experts() {
  std::string blocks;
  std::string scales;
  for (char row = 0; row < 8; ++row) {
    blocks += static_cast<char>(0x10 * row + 1);  // numbers 0 and 1 of the row, then zeros
    blocks += std::string(15, '\0');
    scales += static_cast<char>(127 - row);
  }
  SafetensorsBuilder builder;
  builder.add(kExperts + "gate_up_proj_blocks", DType::kU8, {2, 4, 1, 16}, blocks);
  return builder.add(kExperts + "gate_up_proj_scales", DType::kU8, {2, 4, 1}, scales);
}

TEST(GptOssCheckpoint, PackedRowsOfGateAndUp) {
  const GptOssFolder folder(packed_experts());
  const auto checkpoint = folder.open();
  EXPECT_FALSE(checkpoint->config().contains("quantization_config"));
  const TensorEntry* gate = checkpoint->find(kExperts + "gate_proj.weight");
  const TensorEntry* up = checkpoint->find(kExperts + "up_proj.weight");
  ASSERT_TRUE(gate != nullptr && up != nullptr);
  EXPECT_EQ(checkpoint->tensors().size(), 2u);
  EXPECT_THAT(gate->shape, ElementsAre(2, 2, 32));
  EXPECT_EQ(gate->storage, "mxfp4");
  EXPECT_EQ(gate->stored_bytes + up->stored_bytes, 8 * 17);
  const std::vector<float> lut = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (const int64_t part : {0, 1}) {
    const std::string name = kExperts + (part == 0 ? "gate" : "up") + "_proj.weight";
    const std::vector<float> all = rows_of(*checkpoint, name, 0, 4);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t row = 2 * i + part;  // of both experts together
      const float scale = std::ldexp(1.0f, static_cast<int>(-row));
      EXPECT_EQ(all[static_cast<size_t>(32 * i)], 0.5f * scale);
      EXPECT_EQ(all[static_cast<size_t>(32 * i + 1)], lut[static_cast<size_t>(row)] * scale);
      EXPECT_EQ(all[static_cast<size_t>(32 * i + 2)], 0);
      EXPECT_EQ(rows_of(*checkpoint, name, i, 1)[1], all[static_cast<size_t>(32 * i + 1)]);
    }
  }
  EXPECT_EQ(checkpoint->stored_planes(*gate).size(), 2u);
}

TEST(GptOssCheckpoint, AScaleOf255IsNaN) {
  SafetensorsBuilder builder;
  builder.add(kExperts + "gate_up_proj_blocks", DType::kU8, {1, 2, 1, 16}, std::string(32, '\x11'));
  builder.add(kExperts + "gate_up_proj_scales", DType::kU8, {1, 2, 1}, "\xff\x7f");
  const auto checkpoint = GptOssFolder(builder).open();
  EXPECT_TRUE(std::isnan(rows_of(*checkpoint, kExperts + "gate_proj.weight", 0, 1)[3]));
  EXPECT_EQ(rows_of(*checkpoint, kExperts + "up_proj.weight", 0, 1)[3], 0.5f);
}

TEST(GptOssCheckpoint, TransposedExpertsAndBiases) {
  // [experts 2, in 2, rows 4] and [experts 2, rows 4]: 100 expert + 10 in + row.
  std::vector<float> weights;
  std::vector<float> biases;
  for (int expert = 0; expert < 2; ++expert) {
    for (int in = 0; in < 2; ++in) {
      for (int row = 0; row < 4; ++row) {
        weights.push_back(static_cast<float>(100 * expert + 10 * in + row));
      }
    }
    for (int row = 0; row < 4; ++row) biases.push_back(static_cast<float>(100 * expert + row));
  }
  SafetensorsBuilder builder;
  builder.add(kExperts + "gate_up_proj", DType::kF32, {2, 2, 4}, f32_bytes(weights));
  builder.add(kExperts + "gate_up_proj_bias", DType::kF32, {2, 4}, f32_bytes(biases));
  builder.add(kExperts + "down_proj", DType::kF32, {2, 2, 4}, f32_bytes(weights));
  builder.add(kExperts + "down_proj_bias", DType::kF32, {2, 4}, f32_bytes(biases));
  const GptOssFolder folder(builder, "null");
  const auto checkpoint = folder.open();
  EXPECT_THAT(rows_of(*checkpoint, kExperts + "gate_proj.weight", 0, 4),
              ElementsAre(0, 10, 2, 12, 100, 110, 102, 112));
  EXPECT_THAT(rows_of(*checkpoint, kExperts + "up_proj.weight", 1, 2),
              ElementsAre(3, 13, 101, 111));
  EXPECT_THAT(rows_of(*checkpoint, kExperts + "up_proj.bias", 0, 2), ElementsAre(1, 3, 101, 103));
  EXPECT_THAT(checkpoint->find(kExperts + "down_proj.weight")->shape, ElementsAre(2, 4, 2));
  EXPECT_THAT(rows_of(*checkpoint, kExperts + "down_proj.weight", 3, 2),
              ElementsAre(3, 13, 100, 110));
  EXPECT_THAT(rows_of(*checkpoint, kExperts + "down_proj.bias", 1, 1),
              ElementsAre(100, 101, 102, 103));
}

TEST(GptOssCheckpoint, BrokenPlanesAreNamed) {
  const auto refused = [](const SafetensorsBuilder& builder, const std::string& part,
                          ErrorCode code = ErrorCode::kCorrupt) {
    const GptOssFolder folder(builder);
    expect_error(code, {part}, [&] { folder.open(); });
  };
  const auto with = [&](const std::string& name, DType dtype, const Shape& shape, size_t bytes) {
    return SafetensorsBuilder().add(kExperts + name, dtype, shape, std::string(bytes, '\0'));
  };
  refused(with("down_proj_blocks", DType::kU8, {1, 4, 1, 16}, 64), "there is no");
  refused(with("down_proj_scales", DType::kU8, {1, 4, 1}, 4), "there is no");
  SafetensorsBuilder scales = with("down_proj_blocks", DType::kU8, {1, 4, 1, 16}, 64);
  refused(scales.add(kExperts + "down_proj_scales", DType::kU8, {1, 2, 1}, std::string(2, '\0')),
          "does not fit");
  SafetensorsBuilder odd = with("gate_up_proj_blocks", DType::kU8, {1, 3, 1, 16}, 48);
  refused(odd.add(kExperts + "gate_up_proj_scales", DType::kU8, {1, 3, 1}, std::string(3, '\0')),
          "as many rows");
  SafetensorsBuilder wide = with("down_proj_blocks", DType::kU8, {1, 4, 1, 8}, 32);
  refused(wide.add(kExperts + "down_proj_scales", DType::kU8, {1, 4, 1}, std::string(4, '\0')),
          "must be U8 [experts, rows, groups, 16]");
  refused(with("gate_up_proj", DType::kI32, {1, 2, 2}, 16), "must be F32, F16 or BF16");
  refused(with("gate_up_proj_bias", DType::kF32, {4}, 16), "with 2 dimensions");
  const GptOssFolder other(packed_experts(), R"({"quant_method": "bitsandbytes"})");
  expect_error(ErrorCode::kUnsupported, {"bitsandbytes"}, [&] { other.open(); });
}

}  // namespace
}  // namespace tq
