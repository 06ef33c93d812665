#include "convert/measured_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <utility>

#include "base/error.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::HasSubstr;

enum class Kind { kDense, kMultiHead, kExperts, kLatent, kTied };

// Four layers of a model of that kind, names and shapes only.
std::unique_ptr<Checkpoint> model(Kind kind) {
  std::vector<TensorEntry> tensors;
  const auto add = [&](const std::string& name, const Shape& shape) {
    tensors.push_back(fixtures::shape_entry(name, shape));
  };
  add("model.embed_tokens.weight", {1000, 256});
  if (kind != Kind::kTied) add("lm_head.weight", {1000, 256});
  for (int i = 0; i < 4; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    add(layer + "input_layernorm.weight", {256});
    if (kind == Kind::kLatent) {
      add(layer + "self_attn.q_b_proj.weight", {256, 128});
      add(layer + "self_attn.kv_a_proj_with_mqa.weight", {64, 256});
      add(layer + "self_attn.kv_b_proj.weight", {512, 64});
    } else {
      const int64_t kv = kind == Kind::kMultiHead ? 256 : 32;
      add(layer + "self_attn.q_proj.weight", {256, 256});
      add(layer + "self_attn.k_proj.weight", {kv, 256});
      add(layer + "self_attn.v_proj.weight", {kv, 256});
    }
    add(layer + "self_attn.o_proj.weight", {256, 256});
    add(layer + "mlp.up_proj.weight", {512, 256});
    if (kind != Kind::kExperts) continue;
    add(layer + "mlp.gate.weight", {8, 256});
    for (int e = 0; e < 8; ++e) {
      add(fmt::format("{}mlp.experts.{}.up_proj.weight", layer, e), {128, 256});
    }
  }
  return std::make_unique<fixtures::ShapesOnly>(std::move(tensors));
}

std::vector<std::string> names(const std::vector<TensorGroup>& groups) {
  std::vector<std::string> out;
  for (const TensorGroup& group : groups) out.push_back(group_name(group));
  return out;
}

TEST(TensorGroups, ClassesInPartsOfTheLayers) {
  EXPECT_THAT(names(tensor_groups(*model(Kind::kDense), 2)),
              ::testing::ElementsAre("MLPs 0-1", "MLPs 2-3", "attention 0-1", "attention 2-3",
                                     "its output 0-1", "its output 2-3", "keys and values 0-1",
                                     "keys and values 2-3", "head", "embeddings"));
  EXPECT_THAT(names(tensor_groups(*model(Kind::kTied), 1)),
              ::testing::ElementsAre("MLPs 0-3", "attention 0-3", "its output 0-3",
                                     "keys and values 0-3", "embeddings"));
  EXPECT_EQ(tensor_groups(*model(Kind::kTied), 100).size(), 4 * 4 + 1);
}

TEST(TensorGroups, ExpertsAreOneAndRoutersNone) {
  const auto source = model(Kind::kExperts);
  const std::vector<TensorGroup> groups = tensor_groups(*source, 1);
  ASSERT_EQ(groups[0].member, &ClassFormats::experts);
  EXPECT_EQ(groups[0].n_weights, 4 * 8 * 128 * 256);
  int64_t all = 0;
  for (const TensorGroup& group : groups) all += group.n_weights;
  int64_t there = 0;
  for (const TensorEntry& tensor : source->tensors()) {
    const bool kept = tensor.name.find("norm") != std::string::npos ||
                      tensor.name.find("mlp.gate.") != std::string::npos;
    if (!kept) there += tensor.n_elements();
  }
  EXPECT_EQ(all, there);
}

TEST(OnlyGroup, CompressesItsTensorsAlone) {
  for (const Kind kind : {Kind::kDense, Kind::kMultiHead, Kind::kExperts, Kind::kLatent}) {
    const auto source = model(kind);
    for (const TensorGroup& group : tensor_groups(*source, 2)) {
      int64_t weights = 0;
      for (const PlannedTensor& tensor :
           make_plan(*source, {.formats = only_group(group, "tq3")}).tensors) {
        if (!tensor.compressed()) continue;
        weights += source->tensors()[static_cast<size_t>(tensor.source)].n_elements();
      }
      EXPECT_EQ(weights, group.n_weights) << group_name(group);
    }
  }
}

TEST(FormatError, FallsWithBits) {
  double before = 1;
  for (const std::string_view name : kPlanFormats) {
    const double error = format_error(need_format(name), Effort::kDefault);
    EXPECT_GT(error, 0) << name;
    EXPECT_LT(error, before / 2) << name;
    EXPECT_EQ(error, format_error(need_format(name), Effort::kDefault));
    before = error;
  }
  // docs/formats.md: 0.0092 without a search of scales.
  EXPECT_NEAR(format_error(need_format("tq4"), Effort::kReference), 0.0092, 0.0004);
  EXPECT_EQ(format_error(need_format("f32"), Effort::kDefault), 0);
}

// Every group costs by its weights, times what is said of its class.
Measurements measured(const Checkpoint& source,
                      const std::function<double(const TensorGroup&)>& per_weight) {
  Measurements measurements{
      .format = std::string(kThreeBits), .n_tokens = 8, .seed = 1, .source = {}, .groups = {}};
  for (const TensorGroup& group : tensor_groups(source, 2)) {
    measurements.groups.push_back(
        {group, per_weight(group) * static_cast<double>(group.n_weights) * 1e-6, 0});
  }
  return measurements;
}

class KnapsackTest : public ::testing::Test {
 protected:
  FormatChoice choose(double bits) const {
    return choose_by_measurements(*source_, {}, measurements_, bits, [&](const ConvertPlan& plan) {
      return bits_per_weight(*source_, plan);
    });
  }
  double predicted(const FormatPlan& plan) const {
    const std::vector<double> all = predicted_divergence(measurements_, plan);
    return std::accumulate(all.begin(), all.end(), 0.0);
  }

  std::unique_ptr<Checkpoint> source_ = model(Kind::kExperts);
  Measurements measurements_ = measured(*source_, [](const TensorGroup& group) {
    if (group.member == &ClassFormats::keys_values) return 20.0;
    return group.member == &ClassFormats::mlp && group.first == 0 ? 4.0 : 1.0;
  });
};

TEST_F(KnapsackTest, BitsGoWhereTheySaveMost) {
  const FormatPlan three{{"tq6", "tq6", kThreeBits, kThreeBits, kThreeBits, kThreeBits, kThreeBits},
                         {}};
  const double limit = bits_per_weight(*source_, make_plan(*source_, {.formats = three})) + 0.19;
  const FormatChoice choice = choose(limit);
  EXPECT_TRUE(choice.fits);
  EXPECT_LE(choice.size, limit);
  const FormatPlan& plan = choice.formats;
  EXPECT_EQ(plan.classes.experts, kThreeBits);
  EXPECT_EQ(plan.classes.embed, "tq6");
  const int most = need_format(plan.format(&ClassFormats::keys_values, 0)).bits;
  EXPECT_GE(most, 5);
  EXPECT_GT(most, need_format(plan.format(&ClassFormats::mlp, 0)).bits);
  EXPECT_EQ(plan.format(&ClassFormats::mlp, 0), kFourBits);
  EXPECT_EQ(plan.format(&ClassFormats::mlp, 2), kThreeBits);
}

TEST_F(KnapsackTest, MoreRoomNeverCostsMore) {
  double before = 1e9;
  double size = 0;
  for (double bits = 2.5; bits <= 8.5; bits += 0.25) {
    const FormatChoice choice = choose(bits);
    EXPECT_EQ(choice.size,
              bits_per_weight(*source_, make_plan(*source_, {.formats = choice.formats})));
    if (!choice.fits) {
      EXPECT_GT(choice.size, bits);
      continue;
    }
    EXPECT_LE(choice.size, bits);
    EXPECT_GE(choice.size, size) << bits;
    EXPECT_LE(predicted(choice.formats), before) << bits;
    before = predicted(choice.formats);
    size = choice.size;
  }
  EXPECT_GT(size, 8);
}

TEST_F(KnapsackTest, NoWorseThanTheClassRules) {
  for (const double bits : {4.0, 4.5, 5.0, 6.0}) {
    const FormatChoice rules = choose_formats(*source_, {}, bits, [&](const ConvertPlan& plan) {
      return bits_per_weight(*source_, plan);
    });
    ASSERT_TRUE(rules.fits);
    EXPECT_LE(predicted(choose(bits).formats), 1.001 * predicted(rules.formats)) << bits;
  }
}

TEST_F(KnapsackTest, PredictsInProportionToTheError) {
  const FormatPlan same{{"keep", "keep", kThreeBits, "keep", "keep", "keep", "keep"}, {}};
  double kld = 0;
  for (const MeasuredGroup& one : measurements_.groups) {
    if (one.group.member == &ClassFormats::keys_values) kld += one.kld;
  }
  const double ratio = format_error(need_format(kThreeBits), Effort::kDefault) /
                       format_error(need_format(kThreeBits), Effort::kFast);
  EXPECT_NEAR(predicted(same), kld * ratio, 1e-9 * kld);
}

TEST(Measurements, AreReadAsTheyWereWritten) {
  const auto source = model(Kind::kLatent);
  Measurements all = measured(*source, [](const TensorGroup&) { return 0.5; });
  all.source = {{"a.gguf", "hash"}};
  const Measurements read = parse_measurements(parse_json(measurements_json(all).dump(), "m"), "m");
  EXPECT_EQ(read.format, all.format);
  EXPECT_EQ(read.n_tokens, all.n_tokens);
  EXPECT_EQ(read.seed, all.seed);
  EXPECT_EQ(read.source, all.source);
  ASSERT_EQ(read.groups.size(), all.groups.size());
  for (const MeasuredGroup& one : all.groups) {
    ASSERT_NE(read.find(one.group), nullptr);
    EXPECT_EQ(read.find(one.group)->kld, one.kld);
  }
  TensorGroup other = all.groups[0].group;
  ++other.last;
  EXPECT_EQ(read.find(other), nullptr);
}

TEST(Measurements, RefusesWhatIsNone) {
  const auto source = model(Kind::kTied);
  const Json good = measurements_json(measured(*source, [](const TensorGroup&) { return 0.5; }));
  const auto with = [&](const char* pointer, const Json& value) -> std::string {
    Json json = good;
    if (*pointer != '\0') json[Json::json_pointer(pointer)] = value;
    try {
      parse_measurements(json, "m.json");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(with("", 0), "accepted");
  EXPECT_THAT(with("/tq_measured", 2), HasSubstr("m.json: \"tq_measured\" is not 1"));
  EXPECT_THAT(with("/format", "q4"), HasSubstr("\"format\""));
  EXPECT_THAT(with("/format", 3), HasSubstr("\"format\""));
  EXPECT_THAT(with("/tokens", 0), HasSubstr("\"tokens\""));
  EXPECT_THAT(with("/seed", -1), HasSubstr("\"seed\""));
  EXPECT_THAT(with("/groups", 1), HasSubstr("\"groups\""));
  EXPECT_THAT(with("/groups/0", 1), HasSubstr("a group is no object"));
  EXPECT_THAT(with("/groups/0/class", "mlps"), HasSubstr("no known class"));
  EXPECT_THAT(with("/groups/0/last", -1), HasSubstr("\"last\""));
  EXPECT_THAT(with("/groups/0/weights", 0), HasSubstr("\"weights\""));
  EXPECT_THAT(with("/groups/0/kld", -0.1), HasSubstr("\"kld\""));
  EXPECT_THAT(with("/groups/0/kld_se", "x"), HasSubstr("\"kld_se\""));
}

}  // namespace
}  // namespace tq
