// Layouts of integers: what becomes of each tensor, the config, results that are read back.
#include "convert/layouts/int_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "base/error.h"
#include "convert/verify.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

const std::string kGemmaLayer = "model.language_model.layers.0.";

// One layer of Gemma 4 26B: MLP beside experts of width 704.
std::vector<TensorEntry> gemma_layer(int64_t experts = 2) {
  return {shape_entry("model.language_model.embed_tokens.weight", {64, 2816}),
          shape_entry(kGemmaLayer + "input_layernorm.weight", {2816}),
          shape_entry(kGemmaLayer + "self_attn.q_proj.weight", {4096, 2816}),
          shape_entry(kGemmaLayer + "self_attn.k_proj.weight", {2048, 2816}),
          shape_entry(kGemmaLayer + "self_attn.o_proj.weight", {2816, 4096}),
          shape_entry(kGemmaLayer + "mlp.gate_proj.weight", {2112, 2816}),
          shape_entry(kGemmaLayer + "mlp.up_proj.weight", {2112, 2816}),
          shape_entry(kGemmaLayer + "mlp.down_proj.weight", {2816, 2112}),
          shape_entry(kGemmaLayer + "router.proj.weight", {experts, 2816}),
          shape_entry(kGemmaLayer + "experts.gate_up_proj", {experts, 1408, 2816}),
          shape_entry(kGemmaLayer + "experts.down_proj", {experts, 2816, 704}),
          shape_entry("model.vision_tower.fc.weight", {128, 128})};
}

ConvertPlan plan_ints_of(std::vector<TensorEntry> tensors, const std::string& layout,
                         const IntOptions& ints = {}) {
  return make_plan(ShapesOnly(std::move(tensors)), {.layout = &find_layout(layout), .ints = ints});
}

std::string int_refusal(std::vector<TensorEntry> tensors, const std::string& layout,
                        const IntOptions& ints = {}) {
  try {
    plan_ints_of(std::move(tensors), layout, ints);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

const PlannedTensor& part_named(const ConvertPlan& plan, const std::string& name) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

std::vector<std::string> plane_list(const PlannedTensor& tensor) {
  std::vector<std::string> list;
  for (const SafetensorsItem& plane : tensor.planes) {
    list.push_back(fmt::format("{} {} {}", plane.name.substr(plane.name.rfind('.') + 1),
                               dtype_info(plane.dtype).name, shape_string(plane.shape)));
  }
  return list;
}

TEST(IntExport, GroupsDivideEachKindOfLinear) {
  const ConvertPlan plan = plan_ints_of(gemma_layer(), "compressed-tensors");
  EXPECT_EQ(plan.format, "int4");
  EXPECT_EQ(part_named(plan, kGemmaLayer + "self_attn.q_proj.weight").group, 128);
  EXPECT_EQ(part_named(plan, kGemmaLayer + "mlp.gate_proj.weight").group, 128);
  EXPECT_EQ(part_named(plan, kGemmaLayer + "mlp.down_proj.weight").group, 64);  // 2112
  // All of the experts, as their down_proj has 704 inputs.
  for (const char* projection : {"gate_proj", "up_proj", "down_proj"}) {
    EXPECT_EQ(part_named(plan, fmt::format("{}experts.1.{}.weight", kGemmaLayer, projection)).group,
              64);
  }
  const ConvertPlan two = plan_ints_of(gemma_layer(), "compressed-tensors", {.tensor_parallel = 2});
  EXPECT_EQ(part_named(two, kGemmaLayer + "experts.0.gate_proj.weight").group, 32);  // 352
  EXPECT_EQ(part_named(two, kGemmaLayer + "mlp.down_proj.weight").group, 32);        // 1056
  EXPECT_EQ(part_named(two, kGemmaLayer + "self_attn.o_proj.weight").group, 128);
}

TEST(IntExport, AwqHasOneGroup) {
  const ConvertPlan plan = plan_ints_of(gemma_layer(), "awq");
  EXPECT_EQ(plan.format, "uint4-g64");
  for (const PlannedTensor& tensor : plan.tensors) {
    EXPECT_EQ(tensor.group, tensor.compressed() ? 64 : 0) << tensor.name;
  }
}

TEST(IntExport, StacksOfExpertsAreTakenApart) {
  const ConvertPlan plan = plan_ints_of(gemma_layer(3), "compressed-tensors");
  const PlannedTensor& up = part_named(plan, kGemmaLayer + "experts.2.up_proj.weight");
  EXPECT_EQ(up.row_begin, 2 * 1408 + 704);
  EXPECT_EQ(up.n_rows, 704);
  EXPECT_THAT(plane_list(up), ElementsAre("weight_packed I32 [704, 352]",
                                          "weight_scale BF16 [704, 44]", "weight_shape I64 [2]"));
  EXPECT_EQ(part_named(plan, kGemmaLayer + "experts.1.gate_proj.weight").row_begin, 1408);
  EXPECT_EQ(part_named(plan, kGemmaLayer + "experts.1.down_proj.weight").row_begin, 2816);
}

TEST(IntExport, Planes) {
  const std::vector<TensorEntry> one = {
      shape_entry("model.layers.0.mlp.up_proj.weight", {96, 128})};
  const auto of = [&](const std::string& layout, const IntOptions& ints) {
    return plane_list(plan_ints_of(one, layout, ints).tensors[0]);
  };
  EXPECT_THAT(of("awq", {}),
              ElementsAre("qweight I32 [128, 12]", "qzeros I32 [1, 12]", "scales F16 [1, 96]"));
  EXPECT_THAT(of("compressed-tensors", {.symmetric = false}),
              ElementsAre("weight_packed I32 [96, 16]", "weight_scale BF16 [96, 1]",
                          "weight_shape I64 [2]", "weight_zero_point I32 [12, 1]"));
  EXPECT_THAT(of("compressed-tensors", {.bits = 3, .symmetric = false, .group = 32}),
              ElementsAre("weight_packed I32 [96, 12]", "weight_scale BF16 [96, 4]",
                          "weight_shape I64 [2]", "weight_zero_point I32 [9, 4]"));
  EXPECT_THAT(of("compressed-tensors", {.bits = 8}),
              ElementsAre("weight_packed I32 [96, 32]", "weight_scale BF16 [96, 1]",
                          "weight_shape I64 [2]"));
}

TEST(IntExport, RoutersNormsEmbeddingsAndTowersStay) {
  const ConvertPlan plan = plan_ints_of(gemma_layer(), "awq");
  for (const char* name :
       {"model.language_model.embed_tokens.weight",
        "model.language_model.layers.0.input_layernorm.weight",
        "model.language_model.layers.0.router.proj.weight", "model.vision_tower.fc.weight"}) {
    EXPECT_EQ(part_named(plan, name).format, "bf16") << name;
  }
  // f32 matrices are stored as 16 bits, vectors as they are.
  const ConvertPlan wide =
      plan_ints_of({shape_entry("model.layers.0.mlp.up_proj.weight", {96, 128}, DType::kF32, "f32"),
                    shape_entry("lm_head.weight", {8, 128}, DType::kF32, "f32"),
                    shape_entry("model.norm.weight", {128}, DType::kF32, "f32")},
                   "compressed-tensors");
  EXPECT_EQ(wide.tensors[0].format, "int4-g128");
  EXPECT_EQ(wide.tensors[1].format, "bf16");
  EXPECT_EQ(wide.tensors[2].format, "f32");
}

TEST(IntExport, ConfigNamesGroupsAndWhatIsKept) {
  const ConvertPlan plan = plan_ints_of(gemma_layer(), "compressed-tensors");
  const Json config = plan.layout->config(plan);
  ASSERT_EQ(config["config_groups"].size(), 2u);
  const Json& coarse = config["config_groups"]["group_0"];
  const Json& fine = config["config_groups"]["group_1"];
  EXPECT_EQ(coarse["weights"]["group_size"], 128);
  EXPECT_EQ(fine["weights"]["group_size"], 64);
  EXPECT_THAT(coarse["targets"].get<std::vector<std::string>>(),
              Contains("re:.*[.]self_attn[.]q_proj$"));
  EXPECT_THAT(
      fine["targets"].get<std::vector<std::string>>(),
      ElementsAre("re:.*[.]experts[.][0-9]+[.]down_proj$", "re:.*[.]experts[.][0-9]+[.]gate_proj$",
                  "re:.*[.]experts[.][0-9]+[.]up_proj$", "re:.*[.]mlp[.]down_proj$"));
  EXPECT_THAT(
      config["ignore"].get<std::vector<std::string>>(),
      ElementsAre("lm_head", "model.language_model.layers.0.router.proj", "re:.*vision_tower.*"));
  const ConvertPlan awq = plan_ints_of(gemma_layer(), "awq");
  EXPECT_THAT(awq.layout->config(awq)["modules_to_not_convert"].get<std::vector<std::string>>(),
              ElementsAre("lm_head", "model.language_model.layers.0.router.proj", "vision_tower"));
  EXPECT_EQ(awq.layout->config(awq)["group_size"], 64);
  const ConvertPlan same =
      plan_ints_of(gemma_layer(), "compressed-tensors", {.bits = 8, .group = 64});
  const Json one = same.layout->config(same);
  EXPECT_EQ(one["config_groups"]["group_0"]["targets"], Json({"Linear"}));
  EXPECT_EQ(one["config_groups"]["group_0"]["weights"]["num_bits"], 8);
  EXPECT_EQ(one["config_groups"].size(), 1u);
}

TEST(IntExport, NotesSayWhatEnginesMayRefuse) {
  const auto notes = [](const std::string& layout, const IntOptions& ints) {
    std::string text;
    for (const std::string& note : plan_ints_of(gemma_layer(), layout, ints).notes) text += note;
    return text;
  };
  EXPECT_THAT(notes("compressed-tensors", {.symmetric = false}), HasSubstr("for experts"));
  EXPECT_THAT(notes("compressed-tensors", {.bits = 3}), HasSubstr("packed without gaps"));
  EXPECT_THAT(notes("compressed-tensors", {}), Not(HasSubstr("for experts")));
  EXPECT_THAT(notes("awq", {}), Not(HasSubstr("for experts")));
  EXPECT_THAT(notes("awq", {}), HasSubstr("Marlin"));  // 704 and 2112 inputs
}

TEST(IntExport, Kinds) {
  EXPECT_EQ(int_kind("model.layers.3.mlp.down_proj.weight"), "mlp.down_proj");
  EXPECT_EQ(int_kind("model.layers.3.mlp.experts.17.w1.weight"), "experts.#.w1");
  EXPECT_EQ(int_kind("model.layers.3.mlp.shared_experts.up_proj.weight"), "shared_experts.up_proj");
}

TEST(IntExport, WhatCannotBeExportedIsNamed) {
  const auto linear = [](const std::string& name, Shape shape) {
    return std::vector<TensorEntry>{shape_entry("model.layers.0." + name, std::move(shape))};
  };
  EXPECT_THAT(int_refusal(linear("mlp.experts.0.up_proj.weight", {64, 48}), "compressed-tensors"),
              HasSubstr("mlp.experts.0.up_proj.weight has 48 inputs"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {60, 128}), "awq"),
              HasSubstr("mlp.up_proj.weight has 60 outputs: 8 of them share a word"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {60, 128}), "compressed-tensors"),
              "accepted");
  EXPECT_THAT(int_refusal(linear("mlp.down_proj.weight", {64, 192}), "awq", {.tensor_parallel = 4}),
              HasSubstr("up to --tp 3 can"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 192}), "awq", {.group = 128}),
              HasSubstr("--group-size 128 does not divide the 192 inputs"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 192}), "awq", {.group = 48}),
              HasSubstr("must be 32, 64 or 128"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 192}), "awq", {.tensor_parallel = 0}),
              HasSubstr("--tp must be"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 192}), "awq", {.bits = 8}),
              HasSubstr("awq has 4 bits"));
  EXPECT_THAT(
      int_refusal(linear("mlp.up_proj.weight", {64, 192}), "compressed-tensors", {.bits = 5}),
      HasSubstr("--bits must be 3, 4 or 8"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 192}), "native", {.bits = 4}),
              HasSubstr("are of layouts of integers"));
  EXPECT_THAT(int_refusal(linear("mlp.up_proj.weight", {64, 40}), "awq"),
              HasSubstr("has no linear that can be exported"));
  EXPECT_THAT(int_refusal(linear("block.experts.w3_stack", {2, 64, 64}), "awq"),
              HasSubstr("a stack of experts"));
  // A router whose name begins a linear's, in one layer.
  std::vector<TensorEntry> confusing = linear("mlp.gate.weight", {8, 128});
  confusing.push_back(shape_entry("model.layers.0.mlp.gate_proj.weight", {64, 128}));
  EXPECT_THAT(int_refusal(confusing, "awq"), HasSubstr("engines would take"));
  EXPECT_EQ(int_refusal(confusing, "compressed-tensors"), "accepted");
}

TEST(IntExport, FormatsCannotBeChosen) {
  PlanOptions options{.format = "tq3", .layout = &find_layout("awq")};
  EXPECT_THROW(make_plan(ShapesOnly(gemma_layer()), options), Error);
}

// Results, written and read back.
class IntConvert : public ::testing::Test {
 protected:
  ConvertOptions options_for(const std::string& layout, const IntOptions& ints = {}) {
    ConvertOptions options;
    options.destination = dir_ / ("result" + std::to_string(n_++));
    options.plan.layout = &find_layout(layout);
    options.plan.ints = ints;
    options.effort = Effort::kFast;
    options.n_threads = 1;
    return options;
  }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  int n_ = 0;
};

std::vector<std::pair<std::string, IntOptions>> all_kinds() {
  std::vector<std::pair<std::string, IntOptions>> kinds = {{"awq", {}}};
  for (const int bits : {3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      kinds.push_back({"compressed-tensors", {.bits = bits, .symmetric = symmetric}});
    }
  }
  return kinds;
}

TEST_F(IntConvert, ResultsAreReadBackAndVerified) {
  for (const auto& [layout, ints] : all_kinds()) {
    if (ints.bits == 3 && !ints.symmetric.value()) continue;  // 16 outputs of an expert
    const ConvertOptions options = options_for(layout, ints);
    const ConvertReport report = convert_folder(source_, options);
    const auto result = open_checkpoint(options.destination);
    EXPECT_TRUE(verify_checkpoint(*result).sound());
    EXPECT_TRUE(verify_checkpoint(*result).hashed);
    const auto source = open_checkpoint(source_);
    double error = 0;
    for (const TensorEntry& tensor : result->tensors()) {
      if (tensor.dtype) continue;
      const bool expert = tensor.name.find("experts.") != std::string::npos;
      const TensorEntry* from =
          source->find(expert ? "model.layers.0.mlp.experts.gate_up_proj" : tensor.name);
      ASSERT_NE(from, nullptr) << tensor.name;
      int64_t first = 0;
      if (expert) {
        const size_t at = tensor.name.find("experts.") + 8;
        first = 32 * (tensor.name[at] - '0');
        if (tensor.name.find("up_proj") != std::string::npos) first += 16;
      }
      std::vector<float> a(static_cast<size_t>(tensor.n_elements()));
      std::vector<float> b(a.size());
      result->read_rows(tensor, 0, tensor.n_rows(), a.data());
      source->read_rows(*from, first, tensor.n_rows(), b.data());
      for (size_t i = 0; i < a.size(); ++i) {
        error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
      }
    }
    double reported = 0;
    for (const ReportRow& row : report.rows) {
      if (row.format.find("int") != std::string::npos) reported += row.stats.squared_error;
    }
    EXPECT_GT(reported, 0);
    EXPECT_NEAR(error, reported, 1e-6 * reported) << layout;
  }
}

TEST_F(IntConvert, BytesDoNotDependOnThreadsAndBlocks) {
  // Wide enough for several chunks: 4096 inputs are 16 rows of a chunk's 64Ki weights, rounded up
  // to 32.
  const std::vector<SourceTensor> tensors = {{"model.embed_tokens.weight", {8, 4096}},
                                             {"model.layers.0.mlp.up_proj.weight", {104, 4096}},
                                             {"model.layers.0.mlp.down_proj.weight", {4096, 96}}};
  const fs::path source = write_source(dir_, build(tensors), "wide");
  for (const auto& [layout, ints] : all_kinds()) {
    if (ints.bits == 3) continue;  // 104 outputs
    ConvertOptions options = options_for(layout, ints);
    convert_folder(source, options);
    const auto one = contents(options.destination);
    options = options_for(layout, ints);
    options.n_threads = 3;
    convert_folder(source, options);
    EXPECT_EQ(contents(options.destination), one) << layout;
  }
}

TEST_F(IntConvert, InterruptedAnywhere) {
  for (const char* layout : {"awq", "compressed-tensors"}) {
    ConvertOptions options = options_for(layout);
    options.shard_bytes = 40'000;
    std::vector<std::string> points;
    options.hooks.at = [&](std::string_view point) { points.emplace_back(point); };
    convert_folder(source_, options);
    const auto expected = contents(options.destination);
    options.destination = dir_ / (std::string("cut ") + layout);
    for (size_t n = 2; n < points.size(); n += 9) {  // each takes a while: files are synced
      size_t seen = 0;
      options.hooks.at = [&](std::string_view) {
        if (seen++ == n) throw std::runtime_error("crash");
      };
      EXPECT_THROW(convert_folder(source_, options), std::runtime_error);
      options.hooks.at = nullptr;
      convert_folder(source_, options);
      EXPECT_EQ(contents(options.destination), expected) << n << ": " << points[n];
      fs::remove_all(options.destination);
    }
  }
}

TEST_F(IntConvert, OtherOptionsAreNotResumed) {
  ConvertOptions options = options_for("compressed-tensors");
  options.hooks.at = [&](std::string_view point) {
    if (point == "journal") throw std::runtime_error("crash");
  };
  EXPECT_THROW(convert_folder(source_, options), std::runtime_error);
  options.hooks.at = nullptr;
  options.plan.ints.bits = 8;
  EXPECT_THAT(conversion_error(source_, options).what(), HasSubstr("resume"));
}

TEST_F(IntConvert, NonFiniteWeightsAreRefused) {
  std::vector<float> values(128 * 64, 0.5f);
  values[130] = INFINITY;
  SafetensorsBuilder builder;
  builder.add_floats("model.layers.0.mlp.up_proj.weight", {64, 128}, values, DType::kBF16);
  const fs::path source = write_source(dir_, builder, "bad");
  ConvertOptions options = options_for("awq");
  EXPECT_EQ(conversion_error(source, options).code(), ErrorCode::kCorrupt);
  options.allow_nan = true;
  EXPECT_EQ(convert_folder(source, options).non_finite, 1);
  values[130] = 1e7f;
  SafetensorsBuilder large;
  large.add_floats("model.layers.0.mlp.up_proj.weight", {64, 128}, values, DType::kBF16);
  options = options_for("awq");
  const Error error = conversion_error(write_source(dir_, large, "large"), options);
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("up_proj.weight: row 1 has weights beyond the range"));
}

TEST_F(IntConvert, FlippedBitsAreFound) {
  const ConvertOptions options = options_for("awq");
  convert_folder(source_, options);
  const fs::path file = options.destination / "model.safetensors";
  std::string bytes = read_bytes(file);
  const size_t at = bytes.find("}}") + 3000;
  ASSERT_LT(at, bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 4);
  write_bytes(file, bytes);
  const VerifyReport report = verify_checkpoint(*open_checkpoint(options.destination));
  EXPECT_EQ(report.faults.size(), 1u);
}

}  // namespace
}  // namespace tq
