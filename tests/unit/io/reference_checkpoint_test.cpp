#include "io/reference/reference_checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "io/reference/reference_shapes.h"
#include "io/safetensors/safetensors_file.h"
#include "io/safetensors/safetensors_index.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;

const fs::path kGolden = fs::path(TQ_TEST_DATA) / "golden" / "reference";
const std::string kLayer = "model.layers.0.";

// Compares every packed tensor with rows 0, 1 and the last as the reference library decoded them.
void expect_golden_rows(const Checkpoint& checkpoint) {
  const SafetensorsSet expected(kGolden / "expected.safetensors");
  for (const StoredTensor& rows : expected.tensors()) {
    SCOPED_TRACE(rows.name());
    const TensorEntry* tensor = checkpoint.find(rows.name());
    ASSERT_NE(tensor, nullptr);
    ASSERT_EQ(tensor->in(), rows.entry->shape[1]);
    const auto* values = reinterpret_cast<const char*>(rows.bytes().data());
    std::vector<float> row(static_cast<size_t>(tensor->in()));
    for (const int64_t r : {int64_t{0}, int64_t{1}, tensor->n_rows() - 1}) {
      checkpoint.read_rows(*tensor, r, 1, row.data());
      for (size_t i = 0; i < row.size(); ++i, values += 4) {
        float value;
        std::memcpy(&value, values, 4);
        ASSERT_NEAR(row[i], value, 1e-6f * (std::abs(value) + 0.01f)) << r << " " << i;
      }
    }
  }
}

using Change = std::function<bool(const StoredTensor&, SafetensorsBuilder&)>;

// The golden file written again; `change` adds something else for a tensor and returns true, or
// leaves it as it is.
void rewrite(const fs::path& path, const Change& change) {
  const SafetensorsSet golden(kGolden);
  SafetensorsBuilder builder;
  for (const StoredTensor& tensor : golden.tensors()) {
    if (change(tensor, builder)) continue;
    const auto bytes = tensor.bytes();
    builder.add(tensor.name(), tensor.entry->dtype, tensor.entry->shape,
                {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  builder.write(path);
}

std::string_view text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void copy_json(const TempDir& dir) {
  fs::copy_file(kGolden / "config.json", dir / "config.json");
  fs::copy_file(kGolden / "tq_config.json", dir / "tq_config.json");
}

TEST(ReferenceCheckpoint, PresentsTheLibrarysFileLogically) {
  const auto checkpoint = open_checkpoint(kGolden);
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kReference);
  EXPECT_EQ(checkpoint->tensors().size(), 7u);
  const auto expect = [&](const std::string& name, const Shape& shape, const std::string& storage) {
    SCOPED_TRACE(name);
    const TensorEntry* tensor = checkpoint->find(name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, shape);
    EXPECT_EQ(tensor->storage, storage);
  };
  expect(kLayer + "self_attn.q_proj.weight", {16, 136}, "tq3");
  expect(kLayer + "self_attn.o_proj.weight", {136, 64}, "tq4");  // sensitive_bits
  expect(kLayer + "mlp.gate.weight", {2, 136}, "tq3");           // a packed router
  expect(kLayer + "mlp.experts.gate_up_proj", {2, 16, 136}, "tq3");
  expect(kLayer + "mlp.experts.down_proj", {2, 136, 8}, "tq4");
  expect(kLayer + "input_layernorm.weight", {136}, "f16");
  expect("model.embed_tokens.weight", {8, 136}, "f16");
  EXPECT_EQ(checkpoint->find(kLayer + "self_attn.q_proj.weight")->stored_bytes, 16 * 2 * (48 + 4));
}

TEST(ReferenceCheckpoint, DecodesAsTheLibraryDoes) {
  const auto checkpoint = open_checkpoint(kGolden);
  expect_golden_rows(*checkpoint);
  for (const TensorEntry& tensor : checkpoint->tensors()) {
    checkpoint->drop_rows(tensor, 0, tensor.n_rows());
  }
  expect_golden_rows(*checkpoint);
}

TEST(ReferenceCheckpoint, ViewsWithHalfPrecisionGains) {
  const auto checkpoint = open_checkpoint(kGolden);
  const TensorEntry& tensor = *checkpoint->find(kLayer + "mlp.experts.gate_up_proj");
  const auto view = checkpoint->view(tensor);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->experts, 2);
  EXPECT_EQ(view->rows, 16);
  EXPECT_EQ(view->in, 136);
  EXPECT_EQ(view->in_padded, 256);
  EXPECT_EQ(checkpoint->view(tensor)->gains, view->gains);  // converted once
  std::vector<float> exact(136), viewed(136), scratch(256);
  for (int64_t row = 0; row < 32; ++row) {
    checkpoint->read_rows(tensor, row, 1, exact.data());
    decode_row_plain(*view, row, viewed.data(), scratch.data());
    for (size_t i = 0; i < exact.size(); ++i) {
      ASSERT_NEAR(viewed[i], exact[i], 1e-3f * std::abs(exact[i]) + 1e-6f);
    }
  }
}

TEST(ReferenceCheckpoint, ReadsFlatRowsAndThreeDimensionalNorms) {
  const TempDir dir;
  copy_json(dir);
  rewrite(dir / "model.safetensors", [](const StoredTensor& tensor, SafetensorsBuilder& builder) {
    const std::string& name = tensor.name();
    const int64_t bytes = static_cast<int64_t>(tensor.entry->size_bytes);
    if (name == kLayer + "self_attn.q_proj.weight.tq_packed") {
      builder.add(name, DType::kU8, {16, bytes / 16}, text(tensor.bytes()));
    } else if (name == kLayer + "mlp.experts.down_proj.tq_norms") {
      builder.add(name, DType::kF32, {2, 136, 1}, text(tensor.bytes()));
    } else {
      return false;
    }
    return true;
  });
  expect_golden_rows(*open_checkpoint(dir.path()));
}

TEST(ReferenceCheckpoint, ReadsNamesWithoutWeightAndSkipsLeftovers) {
  const TempDir dir;
  copy_json(dir);
  rewrite(dir / "model.safetensors", [](const StoredTensor& tensor, SafetensorsBuilder& builder) {
    std::string name = tensor.name();
    const size_t at = name.find(".weight.tq_");
    if (at == std::string::npos) return false;
    builder.add(name.erase(at, 7), tensor.entry->dtype, tensor.entry->shape, text(tensor.bytes()));
    for (const char* left : {".weight_scale_inv", ".weight_scale", ".input_scale"}) {
      if (name.ends_with("packed")) builder.add(name.substr(0, at) + left, DType::kU8, {1}, "x");
    }
    return true;
  });
  const auto checkpoint = open_checkpoint(dir.path());
  EXPECT_EQ(checkpoint->tensors().size(), 7u);
  expect_golden_rows(*checkpoint);
}

TEST(ReferenceCheckpoint, ReadsThePairAcrossShardsBesideConfigInConfigJson) {
  const TempDir dir;
  Json config = parse_json(fixtures::read_bytes(kGolden / "config.json"), "config.json");
  config["quantization_config"] = {
      {"quant_method", "turboquant"}, {"bits", 3}, {"group_size", 128}};
  write_bytes(dir / "config.json", config.dump());
  Json map = Json::object();
  const auto shard = [&](const char* file, bool packed) {
    rewrite(dir / file, [&](const StoredTensor& tensor, SafetensorsBuilder&) {
      if (tensor.name().ends_with("tq_packed") != packed) return true;
      map[tensor.name()] = file;
      return false;
    });
  };
  shard("model-00001-of-00002.safetensors", true);
  shard("model-00002-of-00002.safetensors", false);
  write_bytes(dir / kSafetensorsIndexName, Json{{"weight_map", map}}.dump());
  const auto checkpoint = open_checkpoint(dir.path());
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kReference);
  EXPECT_EQ(checkpoint->files().size(), 2u);
  expect_golden_rows(*checkpoint);
}

TEST(ReferenceCheckpoint, TakesWidthsFromOrigInDims) {
  const TempDir dir;
  fs::copy_file(kGolden / "model.safetensors", dir / "model.safetensors");
  Json reference = parse_json(fixtures::read_bytes(kGolden / "tq_config.json"), "tq_config.json");
  reference["orig_in_dims"] = {{kLayer + "self_attn.q_proj.weight", 130},
                               {kLayer + "self_attn.o_proj", 1}};
  write_bytes(dir / "tq_config.json", reference.dump());
  write_bytes(dir / "config.json", R"({"num_experts":2})");
  ::testing::internal::CaptureStderr();
  const auto checkpoint = open_checkpoint(dir.path());
  const std::string warning = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("unpadded width of 3 tensors"), std::string::npos) << warning;
  EXPECT_EQ(checkpoint->find(kLayer + "self_attn.q_proj.weight")->in(), 130);
  EXPECT_EQ(checkpoint->find(kLayer + "self_attn.o_proj.weight")->in(), 1);
  EXPECT_EQ(checkpoint->find(kLayer + "mlp.gate.weight")->in(), 256);  // nothing tells it

  reference["orig_in_dims"] = {{kLayer + "self_attn.q_proj.weight", 128}};
  write_bytes(dir / "tq_config.json", reference.dump());
  expect_error(ErrorCode::kCorrupt, {"q_proj", "orig_in_dims says 128"},
               [&] { open_checkpoint(dir.path()); });
}

TEST(ReferenceCheckpoint, NeedsTheNumberOfExperts) {
  const TempDir dir;
  fs::copy_file(kGolden / "model.safetensors", dir / "model.safetensors");
  fs::copy_file(kGolden / "tq_config.json", dir / "tq_config.json");
  expect_error(ErrorCode::kUnsupported, {"experts", "num_experts"},
               [&] { open_checkpoint(dir.path()); });
  write_bytes(dir / "config.json", R"({"n_routed_experts":3})");
  expect_error(ErrorCode::kCorrupt, {"rows cannot be those of 3 experts"},
               [&] { open_checkpoint(dir.path()); });
}

TEST(ReferenceCheckpoint, DoesNotViewGainsBeyondHalfPrecision) {
  const TempDir dir;
  copy_json(dir);
  rewrite(dir / "model.safetensors", [](const StoredTensor& tensor, SafetensorsBuilder& builder) {
    if (tensor.name() != kLayer + "mlp.gate.weight.tq_norms") return false;
    builder.add_floats(tensor.name(), {2, 2}, std::vector<float>{1, 1e6f, 1, 1});
    return true;
  });
  const auto checkpoint = open_checkpoint(dir.path());
  const TensorEntry& tensor = *checkpoint->find(kLayer + "mlp.gate.weight");
  EXPECT_EQ(checkpoint->view(tensor), std::nullopt);
  std::vector<float> row(136);
  checkpoint->read_rows(tensor, 0, 1, row.data());
  EXPECT_GT(std::abs(row[130]), 1e3f);
}

TEST(ReferenceCheckpoint, RefusesPlanesThatDoNotFit) {
  const TempDir dir;
  copy_json(dir);
  const std::string name = kLayer + "mlp.gate.weight";
  const auto refused = [&](ErrorCode code, const std::string& part, const Change& change) {
    rewrite(dir / "model.safetensors", change);
    expect_error(code, {name, part}, [&] { open_checkpoint(dir.path()); });
  };
  const auto replace = [&](const std::string& suffix, DType dtype, const Shape& shape) {
    return [=](const StoredTensor& tensor, SafetensorsBuilder& builder) {
      if (tensor.name() != name + suffix) return false;
      int64_t bytes = dtype_info(dtype).bytes;
      for (const int64_t dim : shape) bytes *= dim;
      if (bytes > 0)
        builder.add(name + suffix, dtype, shape, std::string(static_cast<size_t>(bytes), 'x'));
      return true;
    };
  };
  refused(ErrorCode::kCorrupt, "there is no", replace(".tq_norms", DType::kF32, {0}));
  refused(ErrorCode::kCorrupt, "there is no", replace(".tq_packed", DType::kU8, {0}));
  refused(ErrorCode::kUnsupported, "another format", replace(".tq_norms", DType::kF16, {2, 2}));
  refused(ErrorCode::kUnsupported, "another format", replace(".tq_packed", DType::kU32, {4, 12}));
  refused(ErrorCode::kCorrupt, "norms are [4]", replace(".tq_norms", DType::kF32, {4}));
  refused(ErrorCode::kCorrupt, "do not go with", replace(".tq_norms", DType::kF32, {3, 2}));
  refused(ErrorCode::kCorrupt, "do not go with", replace(".tq_packed", DType::kU8, {4, 47}));
  refused(ErrorCode::kCorrupt, "do not go with",
          replace(".tq_packed", DType::kU8, {4, 80}));  // 5 bits
  refused(ErrorCode::kCorrupt, "do not go with", replace(".tq_packed", DType::kU8, {8, 24}));
}

TEST(ReferenceConfig, RefusesWhatItWouldReadWrongly) {
  const auto refused = [](ErrorCode code, const std::string& json, const std::string& part) {
    expect_error(code, {"tq_config.json", part}, [&] {
      ReferenceConfig::from_json(parse_json(json, "tq_config.json"), "tq_config.json");
    });
  };
  refused(ErrorCode::kUnsupported, R"({"quantizer_seed":1})", "quantizer_seed 1");
  refused(ErrorCode::kUnsupported, R"({"group_size":100})", "group_size 100");
  refused(ErrorCode::kUnsupported, R"({"format":"marlin"})", "marlin");
  refused(ErrorCode::kCorrupt, R"({"group_size":"128"})", "integer");
  refused(ErrorCode::kCorrupt, R"({"orig_in_dims":[1]})", "orig_in_dims");
  refused(ErrorCode::kCorrupt, R"({"orig_in_dims":{"w":1.5}})", "\"w\"");
  refused(ErrorCode::kCorrupt, R"({"orig_in_dims":{"w":18446744073709551615}})", "\"w\"");
  refused(ErrorCode::kCorrupt, R"({"quantizer_seed":18446744073709551615})", "quantizer_seed");
  refused(ErrorCode::kUnsupported, R"({"group_size":4294967424})", "group_size 4294967424");
  refused(ErrorCode::kCorrupt, "[]", "object");
  const auto config = ReferenceConfig::from_json(
      Json{{"bits", 3}, {"group_size", 64}, {"orig_in_dims", {{"w", 7}}}}, "x");
  EXPECT_EQ(config.group, 64);
  EXPECT_EQ(config.in_widths.at("w"), 7);
}

TEST(ReferenceShapes, ResolvesWidthsByName) {
  const Json gemma4 = {{"text_config",
                        {{"hidden_size", 2816},
                         {"intermediate_size", 2112},
                         {"moe_intermediate_size", 704},
                         {"num_attention_heads", 16},
                         {"head_dim", 250},
                         {"global_head_dim", 510},
                         {"num_experts", 128}}},
                       {"vision_config", {{"hidden_size", 1100}, {"intermediate_size", 4300}}}};
  const auto width = [&](const Json& config, const std::string& name, int64_t padded) {
    return reference_input_width(config, name, padded, 128).value_or(-1);
  };
  const std::string layer = "model.language_model.layers.5.";
  EXPECT_EQ(width(gemma4, layer + "self_attn.q_proj.weight", 2816), 2816);
  EXPECT_EQ(width(gemma4, layer + "self_attn.o_proj.weight", 4096), 4000);
  EXPECT_EQ(width(gemma4, layer + "self_attn.o_proj.weight", 8192), 8160);  // a global layer
  EXPECT_EQ(width(gemma4, layer + "mlp.down_proj.weight", 2176), 2112);
  EXPECT_EQ(width(gemma4, layer + "experts.down_proj", 768), 704);
  EXPECT_EQ(width(gemma4, layer + "experts.3.down_proj.weight", 768), 704);
  EXPECT_EQ(width(gemma4, layer + "experts.gate_up_proj", 2816), 2816);
  EXPECT_EQ(width(gemma4, layer + "router.proj.weight", 2816), 2816);
  EXPECT_EQ(
      width(gemma4, "model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight", 1152),
      1100);
  EXPECT_EQ(width(gemma4, "model.vision_tower.encoder.layers.0.mlp.down_proj.linear.weight", 4352),
            4300);
  EXPECT_EQ(width(gemma4, layer + "mlp.down_proj.weight", 640), -1);  // no width of this range
  EXPECT_EQ(width(gemma4, layer + "mystery.weight", 2816), -1);

  const Json glm = {{"hidden_size", 2000},        {"num_attention_heads", 20},
                    {"q_lora_rank", 700},         {"kv_lora_rank", 500},
                    {"v_head_dim", 250},          {"n_routed_experts", 64},
                    {"intermediate_size", 10200}, {"moe_intermediate_size", 1500},
                    {"n_shared_experts", 2}};
  EXPECT_EQ(width(glm, "model.layers.1.self_attn.q_a_proj.weight", 2048), 2000);
  EXPECT_EQ(width(glm, "model.layers.1.self_attn.q_b_proj.weight", 768), 700);
  EXPECT_EQ(width(glm, "model.layers.1.self_attn.kv_b_proj.weight", 512), 500);
  EXPECT_EQ(width(glm, "model.layers.1.self_attn.o_proj.weight", 5120), 5000);
  EXPECT_EQ(width(glm, "model.layers.1.mlp.shared_experts.down_proj.weight", 3072), 3000);
  EXPECT_EQ(width(glm, "model.layers.0.mlp.down_proj.weight", 10240), 10200);
  EXPECT_EQ(width(glm, "model.layers.47.eh_proj.weight", 4096), 4000);

  const Json llama = {
      {"hidden_size", 570}, {"num_attention_heads", 9}, {"intermediate_size", 1500}};
  EXPECT_EQ(width(llama, "model.layers.0.self_attn.o_proj.weight", 640), 567);
  EXPECT_EQ(width(llama, "block_sparse_moe.experts.1.w2.weight", 1536), 1500);
  EXPECT_EQ(width(llama, "experts.w13", 640), 570);
  for (const Json& odd : {Json{{"hidden_size", "570"}}, Json{{"hidden_size", -1}}, Json::object(),
                          Json{{"hidden_size", 1e300}}, Json{{"text_config", 1}}}) {
    EXPECT_EQ(width(odd, "model.layers.0.self_attn.q_proj.weight", 640), -1);
  }
}

TEST(ReferenceShapes, ReadsPerLayerHeadDims) {
  const Json config = {{"num_attention_heads", 10},
                       {"head_dim", 12},
                       {"per_layer_config", {{"full_attention", {{"head_dim", 25}}}, {"x", 1}}}};
  EXPECT_EQ(reference_input_width(config, "o_proj.weight", 128, 128), 120);
  EXPECT_EQ(reference_input_width(config, "o_proj.weight", 256, 128), 250);
}

TEST(ReferenceShapes, TellsStacksFromSingleExperts) {
  EXPECT_TRUE(is_expert_stack("model.layers.0.mlp.experts.gate_up_proj"));
  EXPECT_TRUE(is_expert_stack("model.layers.0.mlp.experts.w13_weight"));
  EXPECT_FALSE(is_expert_stack("model.layers.0.mlp.experts.7.up_proj.weight"));
  EXPECT_FALSE(is_expert_stack("model.layers.0.mlp.shared_experts.up_proj.weight"));
  EXPECT_FALSE(is_expert_stack("model.layers.0.mlp.experts"));
  EXPECT_EQ(reference_expert_count({{"num_local_experts", 8}}), 8);
  EXPECT_EQ(reference_expert_count({{"text_config", {{"n_routed_experts", 64}}}}), 64);
  EXPECT_EQ(reference_expert_count(Json::object()), std::nullopt);
}

}  // namespace
}  // namespace tq
