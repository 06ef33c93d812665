#include "convert/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/convert/fixture.h"

namespace tq {
namespace {

using fixtures::shape_entry;
using fixtures::ShapesOnly;
using ::testing::HasSubstr;
using ::testing::Not;

// Choices for one source by the bits stored for a weight.
class Chooser {
 public:
  explicit Chooser(const std::string& model) : source_(open_checkpoint(model)) {}

  FormatChoice within(double bits) const {
    return choose_formats(*source_, {}, bits,
                          [&](const ConvertPlan& plan) { return bits_per_weight(*source_, plan); });
  }
  ConvertPlan plan(const FormatPlan& formats) const {
    return make_plan(*source_, {.formats = formats});
  }
  double bits(const FormatPlan& formats) const { return bits_per_weight(*source_, plan(formats)); }
  const Checkpoint& source() const { return *source_; }

 private:
  std::unique_ptr<Checkpoint> source_;
};

FormatPlan all_linears(std::string_view format, std::string_view rest) {
  return {{rest, rest, rest, format, format, format, format, rest}, {}};
}

TEST(ChooseFormats, TheSmallestWhereNothingFits) {
  const Chooser chooser("synth:gemma-4-26B-A4B");
  const FormatChoice choice = chooser.within(1);
  EXPECT_FALSE(choice.fits);
  EXPECT_EQ(choice.formats, all_linears("tq2", "tq6"));
  EXPECT_EQ(choice.size, chooser.bits(choice.formats));
  EXPECT_GT(choice.size, 2.125);
  EXPECT_LT(choice.size, 2.5);
  EXPECT_TRUE(chooser.within(choice.size).fits);
  EXPECT_EQ(chooser.within(choice.size).formats, choice.formats);
}

TEST(ChooseFormats, EightBitsWhereAllFits) {
  const FormatChoice choice = Chooser("synth:gemma-4-26B-A4B").within(16);
  EXPECT_TRUE(choice.fits);
  EXPECT_EQ(choice.formats, all_linears("tq8", "tq8"));
  EXPECT_EQ(choice.next, "");
}

TEST(ChooseFormats, RaisesTheOutputFirstAndExpertsLast) {
  const Chooser chooser("synth:gemma-4-26B-A4B");
  FormatPlan wanted = all_linears(kThreeBits, "tq6");
  const auto expect_next = [&](FormatMember what, std::string_view format) {
    const double before = chooser.bits(wanted);
    wanted.classes.*what = format;
    const double bits = chooser.bits(wanted);
    ASSERT_GT(bits, before);
    const FormatChoice choice = chooser.within(bits);
    EXPECT_EQ(choice.formats, wanted) << format;
    EXPECT_EQ(choice.size, bits);
    EXPECT_EQ(choice.next, kFourBits);
    EXPECT_EQ(choice.next_size, chooser.bits(all_linears(kFourBits, "tq6")));
  };
  expect_next(&ClassFormats::output, kFourBits);
  expect_next(&ClassFormats::attention, kFourBits);
  expect_next(&ClassFormats::mlp, kFourBits);
  // Then the experts of the last layers, one by one.
  for (const int64_t first : {29, 28, 15}) {
    wanted.layers = {{&ClassFormats::experts, first, 29, kFourBits}};
    const FormatChoice choice = chooser.within(chooser.bits(wanted));
    EXPECT_EQ(choice.formats, wanted) << first;
    EXPECT_EQ(choice.size, chooser.bits(wanted));
  }
  EXPECT_THAT(describe_formats(wanted, chooser.plan(wanted)),
              HasSubstr(fmt::format("experts {} ({} in layers 15-29), MLPs {}", kThreeBits,
                                    kFourBits, kFourBits)));
}

TEST(ChooseFormats, WithoutExpertsTheMlpsAreMostWeights) {
  const Chooser chooser("synth:qwen3-8B");
  FormatPlan wanted = all_linears(kThreeBits, "tq6");
  wanted.classes.output = wanted.classes.attention = kFourBits;
  wanted.layers = {{&ClassFormats::mlp, 35, 35, kFourBits}};
  const FormatChoice choice = chooser.within(chooser.bits(wanted));
  wanted.classes.experts = choice.formats.classes.experts;  // there are none
  EXPECT_EQ(choice.formats, wanted);
  EXPECT_EQ(choice.next, kFourBits);
  // What no layer's MLP can have goes to the head and the embeddings.
  const double room = chooser.bits(wanted) + 0.001;
  EXPECT_GE(chooser.within(room).size, choice.size);
}

// A model of 32 query heads with `kv_heads` of keys and values, without data.
std::unique_ptr<Checkpoint> heads(int64_t kv_heads) {
  std::vector<TensorEntry> tensors;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string name = fmt::format("model.layers.{}.", layer);
    const auto add = [&](const char* what, int64_t rows, int64_t in) {
      tensors.push_back(shape_entry(name + what, {rows, in}));
    };
    add("self_attn.q_proj.weight", 4096, 4096);
    add("self_attn.k_proj.weight", kv_heads * 128, 4096);
    add("self_attn.v_proj.weight", kv_heads * 128, 4096);
    add("self_attn.o_proj.weight", 4096, 4096);
    add("mlp.gate_proj.weight", 11008, 4096);
    add("mlp.up_proj.weight", 11008, 4096);
    add("mlp.down_proj.weight", 4096, 11008);
  }
  tensors.push_back(shape_entry("model.embed_tokens.weight", {32000, 4096}));
  return std::make_unique<ShapesOnly>(std::move(tensors));
}

TEST(ChooseFormats, KeysAndValuesWideOnlyWhereTheyAreFew) {
  for (const auto& [kv_heads, few] : {std::pair(1, true), {8, true}, {16, false}, {32, false}}) {
    const auto source = heads(kv_heads);
    EXPECT_EQ(count_linears(*source).few_keys_values(), few) << kv_heads;
    PlanOptions plan;
    const auto bits = [&](const ConvertPlan& made) { return bits_per_weight(*source, made); };
    plan.formats = FormatPlan{
        {"tq6", "tq6", few ? "tq6" : kThreeBits, kThreeBits, kThreeBits, kThreeBits, kThreeBits},
        {}};
    const double least = bits(make_plan(*source, plan));
    const FormatChoice choice = choose_formats(*source, {}, least, bits);
    EXPECT_EQ(choice.size, least);
    EXPECT_EQ(choice.formats.classes.keys_values, few ? "tq6" : kThreeBits) << kv_heads;
    // With more room many keys and values get a bit more than most weights, after the output.
    const FormatChoice more = choose_formats(*source, {}, least + 0.4, bits);
    EXPECT_EQ(more.formats.classes.output, kFourBits);
    EXPECT_EQ(more.formats.classes.keys_values == kFourBits, !few) << kv_heads;
    EXPECT_EQ(more.formats.classes.mlp, kThreeBits);
  }
}

TEST(CountLinears, ExpertsMakeKeysAndValuesFew) {
  const auto source = open_checkpoint("synth:glm-4.7-flash");
  const LinearWeights weights = count_linears(*source);
  EXPECT_GT(weights.keys_values, 0);
  EXPECT_TRUE(weights.few_keys_values());
  // The head and the table are no linears, nor are norms.
  const auto tied = heads(32);
  EXPECT_EQ(count_linears(*tied).all, 4 * (4 * 4096 * 4096 + 3 * int64_t{4096} * 11008));
}

TEST(ChooseFormats, MoreRoomNeverGivesFewerBits) {
  for (const char* model : {"synth:gemma-4-26B-A4B", "synth:gemma-3-270m"}) {
    const Chooser chooser(model);
    double before = 0;
    for (double limit = 3; limit <= 8.5; limit += 0.5) {
      const FormatChoice choice = chooser.within(limit);
      if (!choice.fits) continue;
      EXPECT_LE(choice.size, limit) << model;
      EXPECT_GE(choice.size, before) << model << " " << limit;
      EXPECT_EQ(choice.size, chooser.bits(choice.formats)) << model;
      if (!choice.next.empty()) {
        EXPECT_GT(choice.next_size, limit) << model;
      }
      before = choice.size;
    }
    EXPECT_GT(before, 8) << model;
  }
}

TEST(PlanFormats, PartsOfAttention) {
  const Chooser chooser("synth:glm-4.7-flash");
  const ConvertPlan plan = chooser.plan({{.embed = "tq6",
                                          .head = "tq8",
                                          .keys_values = "tq5",
                                          .output = "tq4",
                                          .attention = "tq3",
                                          .mlp = "tq6",
                                          .experts = "tq2"},
                                         {}});
  EXPECT_EQ(plan.format, "mixed");
  const auto format = [&](const std::string& name) {
    return plan.tensors.at(static_cast<size_t>(chooser.source().find(name)->index)).format;
  };
  EXPECT_EQ(format("model.embed_tokens.weight"), "tq6");
  EXPECT_EQ(format("lm_head.weight"), "tq8");
  EXPECT_EQ(format("model.layers.1.self_attn.kv_a_proj_with_mqa.weight"), "tq5");
  EXPECT_EQ(format("model.layers.1.self_attn.kv_b_proj.weight"), "tq8");
  EXPECT_EQ(format("model.layers.1.self_attn.o_proj.weight"), "tq4");
  EXPECT_EQ(format("model.layers.1.self_attn.q_b_proj.weight"), "tq3");
  EXPECT_EQ(format("model.layers.1.mlp.shared_experts.up_proj.weight"), "tq6");
  EXPECT_EQ(format("model.layers.1.mlp.experts.0.up_proj.weight"), "tq2");
  EXPECT_EQ(format("model.layers.1.mlp.gate.weight"), "bf16");

  const Chooser qwen("synth:qwen3-8B");
  const ConvertPlan dense = qwen.plan(all_linears("tq3", "tq6"));
  for (const PlannedTensor& tensor : dense.tensors) {
    const std::string& name = qwen.source().tensors()[static_cast<size_t>(tensor.source)].name;
    if (name.ends_with("k_proj.weight") || name.ends_with("v_proj.weight")) {
      EXPECT_EQ(tensor.format, "tq6") << name;
    }
    if (name.ends_with("o_proj.weight") || name.ends_with("q_proj.weight")) {
      EXPECT_EQ(tensor.format, "tq3") << name;
    }
  }
  const std::string text = describe_formats(all_linears("tq3", "tq6"), dense);
  EXPECT_THAT(text, HasSubstr("MLPs tq3"));
  EXPECT_THAT(text, HasSubstr("keys and values tq6"));
  EXPECT_THAT(text, Not(HasSubstr("experts")));
}

TEST(StoredBytes, AreThoseOfThePlanes) {
  const auto source = open_checkpoint("synth:gemma-4-26B-A4B");
  // Every tensor copied: as many bytes as the source has.
  const ConvertPlan copied = make_plan(*source, {.rules = {{"*", std::string(kKeep)}}});
  int64_t bytes = 0;
  for (const TensorEntry& tensor : source->tensors()) bytes += tensor.stored_bytes;
  EXPECT_EQ(stored_bytes(copied), bytes);
  EXPECT_DOUBLE_EQ(bits_per_weight(*source, copied), 16);
  // docs/convert.md: 10.5 GB.
  const double gb = static_cast<double>(stored_bytes(make_plan(*source, {.format = "tq3"}))) * 1e-9;
  EXPECT_NEAR(gb, 10.5, 0.05);
}

}  // namespace
}  // namespace tq
