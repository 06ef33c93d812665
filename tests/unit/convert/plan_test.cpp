#include "convert/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "convert/class_formats.h"
#include "convert/layouts/layout.h"
#include "convert/shards.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using fixtures::shape_entry;
using fixtures::ShapesOnly;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ConvertPlan plan_of(std::vector<TensorEntry> tensors, const PlanOptions& options = {}) {
  return make_plan(ShapesOnly(std::move(tensors)), options);
}

std::string format_of(const std::string& name, const Shape& shape, const PlanOptions& options) {
  return plan_of({shape_entry(name, shape)}, options).tensors[0].format;
}

std::string error_of(std::vector<TensorEntry> tensors, const PlanOptions& options) {
  try {
    plan_of(std::move(tensors), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

// Of a model whose architecture is not known.
std::string_view common_class(std::string_view name, const Shape& shape) {
  return tensor_class_name(class_of(TensorRoles(Json::object()).role(name, shape)));
}

TEST(Classify, NamesOfPublishedModels) {
  const Shape matrix = {64, 64};
  const Shape vector = {64};
  const auto name = [](const std::string& tensor, const Shape& shape) {
    return common_class("model.layers.0." + tensor, shape);
  };
  EXPECT_EQ(name("self_attn.q_proj.weight", matrix), "attention");
  EXPECT_EQ(name("self_attn.kv_b_proj.weight", matrix), "attention");
  EXPECT_EQ(name("self_attn.q_proj.bias", vector), "bias");
  EXPECT_EQ(name("self_attn.q_norm.weight", vector), "norm");
  EXPECT_EQ(name("layer_scalar", {1}), "norm");
  EXPECT_EQ(name("mlp.gate_proj.weight", matrix), "mlp");
  EXPECT_EQ(name("mlp.shared_experts.up_proj.weight", matrix), "mlp");
  EXPECT_EQ(name("mlp.gate.weight", matrix), "router");
  EXPECT_EQ(name("mlp.gate.e_score_correction_bias", vector), "router");
  EXPECT_EQ(name("mlp.shared_expert_gate.weight", {1, 64}), "router");
  EXPECT_EQ(name("block_sparse_moe.gate.weight", matrix), "router");
  EXPECT_EQ(name("router.proj.weight", matrix), "router");
  EXPECT_EQ(name("router.per_expert_scale", vector), "router");
  EXPECT_EQ(name("mlp.experts.3.up_proj.weight", matrix), "experts");
  EXPECT_EQ(name("experts.gate_up_proj", {4, 64, 64}), "experts");
  EXPECT_EQ(name("block_sparse_moe.experts.3.w1.weight", matrix), "experts");
  EXPECT_EQ(name("block_sparse_moe.w13_weight", {4, 64, 64}), "experts");
  EXPECT_EQ(name("block_sparse_moe.w2_weight", {4, 64, 64}), "experts");
  EXPECT_EQ(name("feed_forward.w2.weight", matrix), "mlp");
  EXPECT_EQ(name("conv.weight", {64, 64, 4}), "other");
  EXPECT_EQ(name("per_layer_projection.weight", matrix), "other");
  EXPECT_EQ(common_class("model.embed_tokens.weight", matrix), "embed");
  EXPECT_EQ(common_class("lm_head.weight", matrix), "head");
  EXPECT_EQ(common_class("model.vision_tower.encoder.layers.0.self_attn.q_proj.weight", matrix),
            "vision");
}

TEST(Plan, DefaultRules) {
  const PlanOptions tq3{.format = "tq3"};
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(format_of(layer + "mlp.up_proj.weight", {8, 128}, tq3), "tq3");
  EXPECT_EQ(format_of(layer + "self_attn.o_proj.weight", {8, 128}, tq3), "tq3");
  EXPECT_EQ(format_of(layer + "experts.down_proj", {2, 8, 64}, tq3), "tq3");
  EXPECT_EQ(format_of("model.embed_tokens.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of("lm_head.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of(layer + "self_attn.kv_b_proj.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of(layer + "mlp.gate.weight", {8, 128}, tq3), "bf16");
  EXPECT_EQ(format_of(layer + "input_layernorm.weight", {128}, tq3), "bf16");
  EXPECT_EQ(format_of("vision_tower.fc1.weight", {8, 128}, tq3), "bf16");
  EXPECT_EQ(format_of(layer + "mlp.up_proj.weight", {128}, tq3), "bf16");          // 1-D
  EXPECT_EQ(format_of(layer + "mlp.up_proj.weight", {8, 31}, tq3), "bf16");        // short rows
  EXPECT_EQ(format_of(layer + "mlp.up_proj.weight", {2, 2, 8, 64}, tq3), "bf16");  // 4-D
  EXPECT_EQ(format_of("lm_head.weight", {8, 128}, {.format = "f32"}), "f32");
}

TEST(Plan, PerLayerInputsHaveAtLeastEightBits) {
  const PlanOptions tq3{.format = "tq3"};
  EXPECT_EQ(format_of("model.embed_tokens_per_layer.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of("model.per_layer_model_projection.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of("model.layers.0.per_layer_input_gate.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of("model.layers.0.per_layer_projection.weight", {8, 128}, tq3), "tq8");
  EXPECT_EQ(format_of("model.layers.0.post_per_layer_input_norm.weight", {128}, tq3), "bf16");
  EXPECT_EQ(format_of("model.embed_tokens_per_layer.weight", {8, 128}, {.format = "f32"}), "f32");
}

TEST(Plan, PresetsChooseByClass) {
  const PlanOptions preset{.preset = "12gb"};
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(format_of(layer + "experts.gate_up_proj", {2, 8, 64}, preset), kThreeBits);
  EXPECT_EQ(format_of(layer + "self_attn.o_proj.weight", {8, 128}, preset), "tq5");
  EXPECT_EQ(format_of(layer + "self_attn.k_proj.weight", {8, 128}, preset), "tq6");
  EXPECT_EQ(format_of(layer + "mlp.up_proj.weight", {8, 128}, preset), kFourBits);
  EXPECT_EQ(format_of("model.embed_tokens.weight", {8, 128}, preset), "tq6");
  EXPECT_EQ(format_of("lm_head.weight", {8, 128}, preset), "tq6");
  EXPECT_EQ(format_of("model.embed_tokens_per_layer.weight", {8, 128}, preset), "tq8");
  EXPECT_EQ(format_of(layer + "per_layer_projection.weight", {8, 128}, preset), "tq8");
  EXPECT_EQ(format_of(layer + "self_attn.kv_b_proj.weight", {8, 128}, preset), "tq8");
  EXPECT_EQ(format_of(layer + "router.proj.weight", {8, 128}, preset), "bf16");
  EXPECT_EQ(format_of(layer + "input_layernorm.weight", {128}, preset), "bf16");
  const auto plan = plan_of({shape_entry(layer + "mlp.up_proj.weight", {8, 128})},
                            {.preset = "12gb", .rules = {{"*.up_proj.*", "keep"}}});
  EXPECT_EQ(plan.tensors[0].format, "bf16");
  EXPECT_EQ(plan.format, "12gb");
  EXPECT_THAT(plan.notes, IsEmpty());
}

// Every preset names formats that exist.
TEST(Plan, AllPresetsCanBePlanned) {
  for (const Preset& preset : all_presets()) {
    const PlanOptions options{.preset = std::string(preset.name)};
    EXPECT_EQ(plan_of({shape_entry("a.mlp.up_proj.weight", {8, 64})}, options).tensors[0].format,
              preset.formats.mlp);
    EXPECT_THAT(preset_names(), HasSubstr(std::string(preset.name)));
  }
}

// What the sizes promised in docs/convert.md come from: planned planes of a full-size model.
TEST(Plan, SizesOfGemma4) {
  const auto source = open_checkpoint("synth:gemma-4-26B-A4B");
  const auto gigabytes = [&](const PlanOptions& options) {
    const ShardPlan shards = lay_out(make_plan(*source, options), 4'000'000'000);
    return static_cast<double>(shards.total_bytes()) * 1e-9;
  };
  EXPECT_LE(gigabytes({.preset = "12gb"}), 11.0);
  EXPECT_LE(gigabytes({.format = "tq3"}), 10.9);
  EXPECT_LE(gigabytes({.format = "tq3", .rules = {{"*.embed_tokens.weight", "keep"}}}), 11.5);
  EXPECT_GE(gigabytes({.format = "tq3"}), 10.4);  // nothing was left out
}

TEST(Plan, GroupsFollowTheRowLength) {
  const auto plan =
      plan_of({shape_entry("a.mlp.w1.weight", {3, 256}), shape_entry("a.mlp.w2.weight", {3, 192}),
               shape_entry("a.mlp.w3.weight", {3, 96}), shape_entry("a.mlp.w4.weight", {3, 100})},
              {.format = "tq3"});
  const auto field = [&](auto get) {
    std::vector<int64_t> out;
    for (const PlannedTensor& tensor : plan.tensors) out.push_back(get(tensor));
    return out;
  };
  EXPECT_THAT(field([](const auto& t) { return int64_t{t.group}; }), ElementsAre(128, 64, 32, 128));
  EXPECT_THAT(field([](const auto& t) { return t.in_padded; }), ElementsAre(256, 192, 96, 128));
  const auto& planes = plan.tensors[1].planes;
  ASSERT_EQ(planes.size(), 2u);
  EXPECT_EQ(planes[0].name, "a.mlp.w2.weight.tq_packed");
  EXPECT_EQ(planes[0].dtype, DType::kU8);
  EXPECT_THAT(planes[0].shape, ElementsAre(3, 192 * 3 / 8));
  EXPECT_EQ(planes[1].name, "a.mlp.w2.weight.tq_scales");
  EXPECT_EQ(planes[1].dtype, DType::kF16);
  EXPECT_THAT(planes[1].shape, ElementsAre(3, 3));
}

TEST(Plan, StacksAreRowsExpertMajor) {
  const auto plan = plan_of({shape_entry("a.experts.down_proj", {4, 16, 64})}, {.format = "tq2"});
  EXPECT_THAT(plan.tensors[0].planes[0].shape, ElementsAre(64, 16));
}

TEST(Plan, AutoDependsOnTheNumberOfParameters) {
  // The formats of the MLP, of queries, of keys and of what attention returns.
  const auto formats = [](int64_t rows, const PlanOptions& options = {}) {
    const std::string attention = "model.layers.0.self_attn.";
    const auto plan = plan_of({shape_entry("model.layers.0.mlp.up_proj.weight", {rows, 2000}),
                               shape_entry(attention + "q_proj.weight", {8, 64}),
                               shape_entry(attention + "k_proj.weight", {8, 64}),
                               shape_entry(attention + "v_proj.weight", {8, 64}),
                               shape_entry(attention + "o_proj.weight", {8, 64})},
                              options);
    std::vector<std::string> out;
    for (const PlannedTensor& tensor : plan.tensors) out.push_back(tensor.format);
    EXPECT_EQ(plan.format, out[0]);
    return out;
  };
  constexpr int64_t kOthers = 4 * 8 * 64;
  EXPECT_THAT(formats((400'000'000 - kOthers) / 2000),
              ElementsAre("tq6", "tq6", "tq6", "tq6", "tq6"));
  EXPECT_THAT(formats(200'000), ElementsAre("tq5", "tq5", "tq6", "tq6", "tq6"));
  EXPECT_THAT(formats((2'000'000'000 - kOthers) / 2000),
              ElementsAre("tq5", "tq5", "tq6", "tq6", "tq6"));
  EXPECT_THAT(formats(1'000'000), ElementsAre(kFourBits, kFourBits, "tq6", "tq6", kFourBits));
  // What the user names holds for all.
  EXPECT_THAT(formats(200'000, {.format = "tq4"}), ElementsAre("tq4", "tq4", "tq4", "tq4", "tq4"));
  // Vision towers do not make a language model large.
  EXPECT_EQ(plan_of({shape_entry("vision.up_proj.weight", {2'000'000, 2000})}).format, "tq6");
  // turboquant-vllm's files hold four bits at most.
  EXPECT_EQ(format_of("a.mlp.up_proj.weight", {128, 128}, {.layout = &kTurboquantVllmLayout}),
            "tq4");
  EXPECT_THROW(format_of("a.mlp.up_proj.weight", {128, 128},
                         {.format = "w7_3", .layout = &kTurboquantVllmLayout}),
               Error);
  const auto notes = plan_of({shape_entry("a.mlp.up_proj.weight", {8, 64})}).notes;
  EXPECT_THAT(notes, Contains(HasSubstr("format auto: tq6")));
  EXPECT_THAT(plan_of({shape_entry("a.mlp.up_proj.weight", {8, 64})}, {.format = "tq3"}).notes,
              IsEmpty());
}

TEST(Plan, AutoOfLargeModelsDependsOnTheMemory) {
  // The formats of the MLP, of keys and of what attention returns.
  const auto formats = [](const PlanOptions& options, int64_t key_rows = 1000) {
    const auto plan =
        plan_of({shape_entry("model.layers.0.mlp.up_proj.weight", {1'000'000, 2000}),
                 shape_entry("model.layers.0.self_attn.q_proj.weight", {4000, 2000}),
                 shape_entry("model.layers.0.self_attn.k_proj.weight", {key_rows, 2000}),
                 shape_entry("model.layers.0.self_attn.o_proj.weight", {2000, 4000})},
                options);
    EXPECT_EQ(plan.format, plan.tensors[0].format);
    EXPECT_EQ(plan.tensors[1].format, plan.tensors[0].format);
    EXPECT_EQ(plan.notes.size(), 1u);
    return std::vector<std::string>{plan.tensors[0].format, plan.tensors[2].format,
                                    plan.tensors[3].format, plan.notes.at(0)};
  };
  PlanOptions options;
  int64_t asked = 0;
  const auto fits_in = [&](int64_t bytes) {
    options.fits = [bytes, &asked](const ConvertPlan& plan) {
      asked = stored_bytes(plan);
      return asked <= bytes;
    };
    options.fits_in = "the box";
  };
  fits_in(2'000'000'000);
  EXPECT_THAT(formats(options),
              ElementsAre(kFourBits, "tq6", kFourBits, HasSubstr("fits in the box")));
  EXPECT_GT(asked, 1'000'000'000);
  fits_in(asked - 1);
  EXPECT_THAT(formats(options),
              ElementsAre(kThreeBits, "tq6", kFourBits, HasSubstr("would not fit in the box")));
  // Three bits are the least, and many keys are as the output.
  fits_in(1);
  EXPECT_THAT(formats(options, 200'000),
              ElementsAre(kThreeBits, kFourBits, kFourBits, HasSubstr("would not fit in the box")));
  options.rules = {{"*.up_proj.weight", "keep"}};  // counts
  fits_in(asked + 1'000'000'000);
  EXPECT_EQ(plan_of({shape_entry("model.layers.0.mlp.up_proj.weight", {1'000'000, 2001}),
                     shape_entry("model.layers.0.mlp.down_proj.weight", {8, 64})},
                    options)
                .format,
            kThreeBits);
}

TEST(LayerOf, NamesWithAndWithoutOne) {
  EXPECT_EQ(layer_of("model.layers.0.mlp.up_proj.weight"), 0);
  EXPECT_EQ(layer_of("model.language_model.layers.27.mlp.experts.3.up_proj.weight"), 27);
  EXPECT_EQ(layer_of("lm_head.weight"), -1);
  EXPECT_EQ(layer_of("layers.x.weight"), -1);
  EXPECT_EQ(layer_of("layers.-3.weight"), -1);
  EXPECT_EQ(layer_of("layers.99999999999999999999.weight"), -1);
  EXPECT_EQ(layer_of("model.layers.3"), -1);
}

TEST(Plan, LayersMayDiffer) {
  const auto layer = [](int n) { return fmt::format("model.layers.{}.mlp.up_proj.weight", n); };
  FormatPlan formats{uniform_formats(need_format("tq3")), {}};
  formats.layers = {{&ClassFormats::mlp, 1, 2, "tq5"},
                    {&ClassFormats::mlp, 2, 10, "tq4"},
                    {&ClassFormats::attention, 0, 10, "keep"}};
  const PlanOptions options{.formats = formats, .rules = {{"*.layers.10.*", "tq2"}}};
  const auto format = [&](const std::string& name) { return format_of(name, {8, 64}, options); };
  EXPECT_EQ(format(layer(0)), "tq3");
  EXPECT_EQ(format(layer(1)), "tq5");
  EXPECT_EQ(format(layer(2)), "tq5");  // the first exception counts
  EXPECT_EQ(format(layer(9)), "tq4");
  EXPECT_EQ(format(layer(10)), "tq2");  // rules come first
  EXPECT_EQ(format(layer(11)), "tq3");
  EXPECT_EQ(format("model.layers.1.self_attn.q_proj.weight"), "bf16");
  EXPECT_EQ(format("model.layers.1.self_attn.o_proj.weight"), "tq3");
  EXPECT_EQ(format("model.layers.2.per_layer_projection.weight"), "tq8");  // wide all the same
}

TEST(Plan, RulesComeFirst) {
  const PlanOptions options{.format = "tq3",
                            .rules = {{"*.down_proj.weight", "tq5"},
                                      {"*.norm.weight", "f32"},
                                      {"*.mlp.gate.weight", "tq8"},
                                      {"*.q_proj.weight", "keep"}}};
  EXPECT_EQ(format_of("a.mlp.down_proj.weight", {8, 64}, options), "tq5");
  EXPECT_EQ(format_of("a.mlp.up_proj.weight", {8, 64}, options), "tq3");
  EXPECT_EQ(format_of("model.norm.weight", {64}, options), "f32");
  EXPECT_EQ(format_of("a.mlp.gate.weight", {8, 64}, options), "tq8");
  EXPECT_EQ(format_of("a.self_attn.q_proj.weight", {8, 64}, options), "bf16");
}

TEST(Plan, SaysWhatRulesCouldNotDo) {
  const auto plan =
      plan_of({shape_entry("a.norm.weight", {64}), shape_entry("a.mlp.up_proj.weight", {8, 64})},
              {.format = "tq3", .rules = {{"*", "tq4"}, {"*.up_proj.*", "tq5"}}});
  EXPECT_EQ(plan.tensors[0].format, "bf16");
  EXPECT_EQ(plan.tensors[1].format, "tq4");
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("rule 2"), HasSubstr("1 tensors keep their type")));
}

TEST(Plan, BlockQuantisedTensorsThatStayBecomeF16) {
  const auto plan = plan_of({shape_entry("a.mlp.gate.weight", {8, 64}, std::nullopt, "q4_1"),
                             shape_entry("a.norm.weight", {64}, std::nullopt, "f32")},
                            {.format = "tq3"});
  EXPECT_EQ(plan.tensors[0].format, "f16");
  EXPECT_EQ(plan.tensors[1].format, "f32");  // plain values behind a change of basis
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("1 block-quantised tensors")));
}

TEST(Plan, Refuses) {
  const PlanOptions tq3{.format = "tq3"};
  EXPECT_THAT(error_of({shape_entry("a", {4})}, {.format = "q4"}),
              HasSubstr("unknown format \"q4\""));
  EXPECT_THAT(error_of({shape_entry("a", {4, 64}, DType::kF8E4M3)}, tq3),
              HasSubstr("scaled 8-bit"));
  EXPECT_THAT(
      error_of({shape_entry("a.mlp.w", {4, 64}), shape_entry("a.mlp.w.tq_scales", {4})}, tq3),
      HasSubstr("a.mlp.w.tq_scales"));
  EXPECT_THAT(
      error_of({shape_entry("a", {4})}, {.format = "tq8", .layout = &kTurboquantVllmLayout}),
      HasSubstr("tq2, tq3 or tq4"));
  EXPECT_THAT(error_of({shape_entry("a", {4})}, {.preset = "1tb"}),
              HasSubstr("unknown preset \"1tb\"; use one of: 12gb"));
  EXPECT_THAT(error_of({shape_entry("a", {4})}, {.format = "tq3", .preset = "12gb"}),
              HasSubstr("--format tq3 cannot be added"));
  EXPECT_THAT(
      error_of({shape_entry("a", {4})}, {.preset = "12gb", .layout = &kTurboquantVllmLayout}),
      HasSubstr("--preset"));
  EXPECT_THAT(
      error_of({shape_entry("a", {4})},
               {.format = "tq3", .layout = &kTurboquantVllmLayout, .rules = {{"*", "keep"}}}),
      HasSubstr("--rules"));
}

TEST(Plan, ReferenceLayoutPacksWhatTheReferenceDoes) {
  const PlanOptions options{.format = "tq3", .layout = &kTurboquantVllmLayout};
  EXPECT_EQ(format_of("a.mlp.up_proj.weight", {8, 192}, options), "tq3");
  EXPECT_EQ(format_of("a.mlp.up_proj.weight", {128, 16}, options), "tq3");
  EXPECT_EQ(format_of("a.mlp.up_proj.weight", {127, 127}, options), "f16");
  EXPECT_EQ(format_of("a.mlp.gate.weight", {8, 128}, options), "tq3");  // routers too
  EXPECT_EQ(format_of("a.experts.down_proj", {2, 8, 128}, options), "tq3");
  EXPECT_EQ(format_of("a.other.down_proj", {2, 8, 128}, options), "f16");
  EXPECT_EQ(format_of("a.LM_Head.weight", {8, 128}, options), "f16");
  EXPECT_EQ(format_of("model.embed_tokens.weight", {8, 128}, options), "f16");
  EXPECT_EQ(format_of("a.mlp.up_proj.bias", {128}, options), "f16");
  const auto plan = plan_of({shape_entry("a.mlp.up_proj.weight", {8, 192})}, options);
  EXPECT_THAT(plan.tensors[0].planes[0].shape, ElementsAre(8 * 2, 48));
  EXPECT_EQ(plan.tensors[0].planes[1].name, "a.mlp.up_proj.weight.tq_norms");
  EXPECT_EQ(plan.tensors[0].planes[1].dtype, DType::kF32);
  EXPECT_THAT(plan.tensors[0].planes[1].shape, ElementsAre(8, 2));
}

TEST(LayOut, SplitsAtTheShardSizeAndKeepsPlanesTogether) {
  const auto plan =
      plan_of({shape_entry("a.mlp.w1.weight", {64, 128}), shape_entry("b.mlp.w1.weight", {64, 128}),
               shape_entry("c.mlp.w1.weight", {64, 128}), shape_entry("d.norm.weight", {128})},
              {.format = "tq4"});
  constexpr uint64_t kOne = 64 * (64 + 2);  // bytes of one of the three
  EXPECT_EQ(lay_out(plan, 1'000'000).shards.size(), 1u);
  EXPECT_EQ(lay_out(plan, 1'000'000).shards[0].file_name, "model.safetensors");
  const ShardPlan two = lay_out(plan, 2 * kOne);
  ASSERT_EQ(two.shards.size(), 2u);
  EXPECT_EQ(two.shards[1].file_name, "model-00002-of-00002.safetensors");
  EXPECT_EQ(two.places[1].shard, 0u);
  EXPECT_EQ(two.places[2].shard, 1u);
  EXPECT_EQ(two.places[3].shard, 1u);
  for (const ShardPlace& place : two.places) EXPECT_EQ(place.offsets[0] % 64, 0u);
  EXPECT_EQ(lay_out(plan, 1).shards.size(), 4u);  // tensors are never split
  EXPECT_EQ(two.index()["weight_map"]["c.mlp.w1.weight.tq_scales"],
            "model-00002-of-00002.safetensors");
}

}  // namespace
}  // namespace tq
