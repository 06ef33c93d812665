#include "convert/plan_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/error.h"
#include "convert/fit.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

PlanFile example() {
  PlanFile plan;
  plan.formats.classes = {.embed = "tq8",
                          .head = "keep",
                          .keys_values = "tq6",
                          .output = "tq4",
                          .attention = "tq3",
                          .mlp = "tq3",
                          .experts = "tq2"};
  plan.formats.layers = {{&ClassFormats::mlp, 3, 5, "tq4"}, {&ClassFormats::experts, 0, 0, "f16"}};
  plan.rules = {{"*.down_proj.weight", "tq5"}, {"lm_head.weight", "keep"}};
  plan.about = {{"note", "by hand"}};
  return plan;
}

TEST(PlanFile, IsReadAsItWasWritten) {
  const PlanFile plan = example();
  const PlanFile read = parse_plan(parse_json(plan_json(plan).dump(2), "p"), "p");
  EXPECT_EQ(read.formats, plan.formats);
  ASSERT_EQ(read.rules.size(), 2u);
  EXPECT_EQ(read.rules[1].match, "lm_head.weight");
  EXPECT_EQ(read.rules[1].format, "keep");
  EXPECT_EQ(read.about, plan.about);
}

TEST(PlanFile, ListsMayBeLeftOut) {
  Json json = plan_json(example());
  for (const char* field : {"about", "layers", "rules"}) json.erase(field);
  const PlanFile read = parse_plan(json, "p");
  EXPECT_EQ(read.formats.classes, example().formats.classes);
  EXPECT_TRUE(read.formats.layers.empty());
  EXPECT_TRUE(read.rules.empty());
}

std::string refusal(const Json& json) {
  try {
    parse_plan(json, "dir/p.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), StartsWith("dir/p.json: "));
    return error.what();
  }
  return "accepted";
}

TEST(PlanFile, RefusesWhatIsNoPlan) {
  const Json good = plan_json(example());
  const auto with = [&](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return refusal(json);
  };
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_THAT(refusal(Json::array()), HasSubstr("must be a JSON object"));
  EXPECT_THAT(refusal(Json::object()), HasSubstr("\"tq_plan\" must be 1"));
  EXPECT_THAT(with("/tq_plan", 2), HasSubstr("not 2"));
  EXPECT_THAT(with("/tq_plan", "1"), HasSubstr("not \"1\""));
  EXPECT_THAT(with("/layer", 1), HasSubstr("no field \"layer\"; did you mean layers?"));
  EXPECT_THAT(with("/formats", "tq3"), HasSubstr("must name a format for each of: experts, mlp"));
  EXPECT_THAT(with("/formats", Json::object()), HasSubstr("no format for experts"));
  EXPECT_THAT(with("/formats/mlps", "tq3"), HasSubstr("\"mlps\" is no class of tensors"));
  EXPECT_THAT(with("/formats/mlp", "q4_k"), HasSubstr("mlp: \"q4_k\" is no format; use one of"));
  EXPECT_THAT(with("/formats/mlp", 3), HasSubstr("mlp: 3 is no format"));
  EXPECT_THAT(with("/formats/mlp", nullptr), HasSubstr("null is no format"));
  EXPECT_THAT(with("/layers", Json::object()), HasSubstr("\"layers\" must be a list"));
  EXPECT_THAT(with("/layers/0", 1), HasSubstr("entry 1 must be a JSON object"));
  EXPECT_THAT(with("/layers/1/class", "head"), HasSubstr("entry 2: head is outside"));
  EXPECT_THAT(with("/layers/1/class", 7), HasSubstr("entry 2: \"class\""));
  EXPECT_THAT(with("/layers/0/class", "expert"), HasSubstr("did you mean experts?"));
  EXPECT_THAT(with("/layers/0/first", -1), HasSubstr("\"first\" must be a layer, from 0, not -1"));
  EXPECT_THAT(with("/layers/0/first", 6), HasSubstr("\"first\" is 6, behind \"last\", 5"));
  EXPECT_THAT(with("/layers/0/last", 1e300), HasSubstr("\"last\" must be a layer"));
  EXPECT_THAT(with("/layers/0/last", 3.5), HasSubstr("\"last\" must be a layer"));
  EXPECT_THAT(with("/layers/0/format", Json()), HasSubstr("entry 1: null is no format"));
  EXPECT_THAT(with("/layers/0/bits", 3), HasSubstr("entry 1 has no field \"bits\""));
  EXPECT_THAT(with("/layers", Json(std::vector<Json>(4097, good["layers"][0]))),
              HasSubstr("more than 4096 entries"));
  EXPECT_THAT(with("/rules", "*"), HasSubstr("rules are a list"));
  EXPECT_THAT(with("/rules/0/format", "tq9"), HasSubstr("rule 1: unknown format \"tq9\""));
}

TEST(PlanFile, IsOfAModelWithTheseLayers) {
  const fixtures::ShapesOnly source(
      {fixtures::shape_entry("model.layers.5.mlp.up_proj.weight", {8, 64}),
       fixtures::shape_entry("model.vision.layers.9.mlp.fc.weight", {8, 64})});
  check_layers(example().formats, source, "p");
  FormatPlan longer = example().formats;
  longer.layers[0].last = 6;
  try {
    check_layers(longer, source, "p");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("p: names layer 6, but fake has layers 0 to 5 only"));
  }
}

// The plan that was chosen makes, from its file, the same of every tensor.
TEST(PlanFile, RepeatsAPlan) {
  const auto source = open_checkpoint("synth:gemma-4-26B-A4B");
  const FormatChoice choice = choose_formats(
      *source, {}, 3.6, [&](const ConvertPlan& plan) { return bits_per_weight(*source, plan); });
  ASSERT_FALSE(choice.formats.layers.empty());
  const ConvertPlan chosen = make_plan(*source, {.formats = choice.formats});
  const PlanFile read = parse_plan(plan_json({chosen.formats, {}, {}}), "p");
  const ConvertPlan repeated = make_plan(*source, {.formats = read.formats});
  ASSERT_EQ(repeated.tensors.size(), chosen.tensors.size());
  for (size_t t = 0; t < chosen.tensors.size(); ++t) {
    EXPECT_EQ(repeated.tensors[t].format, chosen.tensors[t].format) << t;
  }
}

}  // namespace
}  // namespace tq
