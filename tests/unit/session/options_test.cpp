#include "session/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "session/conversion.h"
#include "session/option_reader.h"
#include "support/expect_error.h"

namespace tq::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using tq::fixtures::expect_error;

template <typename Options>
void expect_refused(const Json& object, std::initializer_list<std::string> parts) {
  Options options;
  expect_error(ErrorCode::kInvalidArgument, parts, [&] { read_options(object, options); });
}

TEST(Options, OfAModelComeFromJson) {
  ModelOptions options;
  options.path = "model";
  read_options({{"format", "tq4"},
                {"exact", true},
                {"device", "cuda:1"},
                {"gpu_memory", "12GiB"},
                {"kernels", "dequant"},
                {"batch_invariant", true},
                {"threads", 3},
                {"ctx", "32k"},
                {"kv_dtype", "bf16"},
                {"batch", 64},
                {"ignore_config", {"a", "b"}}},
               options);
  EXPECT_EQ(options.path, "model");
  EXPECT_EQ(options.format, "tq4");
  EXPECT_TRUE(options.exact);
  EXPECT_EQ(options.device, "cuda:1");
  EXPECT_EQ(options.gpu_memory, uint64_t{12} << 30);
  EXPECT_EQ(options.kernels, "dequant");
  EXPECT_TRUE(options.batch_invariant);
  EXPECT_EQ(options.threads, 3);
  EXPECT_EQ(options.ctx, 32768);
  EXPECT_EQ(options.kv_format, "bf16");
  EXPECT_EQ(options.batch, 64);
  EXPECT_THAT(options.ignore_config, ElementsAre("a", "b"));
  read_options({{"max_model_len", "auto"}, {"gpu_memory", 1000}}, options);
  EXPECT_EQ(options.ctx, kLongestContext);
  EXPECT_EQ(options.gpu_memory, 1000u);
  EXPECT_EQ(options.format, "tq4");
}

TEST(Options, OfSamplingComeFromJson) {
  SamplingOptions options;
  read_options({{"max_tokens", -1},
                {"temperature", 0.5},
                {"top_k", 7},
                {"top_p", 0.25},
                {"min_p", 0},
                {"repetition_penalty", 1.5},
                {"presence_penalty", -2},
                {"frequency_penalty", 2},
                {"seed", uint64_t{18446744073709551615U}},
                {"stop", "end"},
                {"logit_bias", {"2=-5"}},
                {"ignore_eos", true}},
               options);
  EXPECT_EQ(options.max_tokens, -1);
  EXPECT_EQ(options.temperature, 0.5f);
  EXPECT_EQ(options.top_k, 7);
  EXPECT_EQ(options.top_p, 0.25f);
  EXPECT_EQ(options.min_p, 0.0f);
  EXPECT_EQ(options.repeat_penalty, 1.5f);
  EXPECT_EQ(options.presence_penalty, -2);
  EXPECT_EQ(options.frequency_penalty, 2);
  EXPECT_EQ(options.seed, 18446744073709551615U);
  EXPECT_THAT(options.stop, ElementsAre("end"));
  EXPECT_THAT(options.logit_bias, ElementsAre("2=-5"));
  EXPECT_TRUE(options.ignore_eos);
  read_options({{"temperature", nullptr}, {"seed", -1}, {"stop", Json::array()}}, options);
  EXPECT_FALSE(options.temperature);
  EXPECT_LE(options.seed.value(), UINT32_MAX);  // drawn
  EXPECT_THAT(options.stop, IsEmpty());
  EXPECT_EQ(options.top_k, 7);
}

TEST(Options, RefuseWhatTheyCannotHave) {
  expect_refused<ModelOptions>({{"threads", 4097}}, {"threads: 4097", "from 0 to 4096"});
  expect_refused<ModelOptions>({{"threads", "two"}}, {"threads", "\"two\""});
  expect_refused<ModelOptions>({{"exact", 1}}, {"exact: 1", "true or false"});
  expect_refused<ModelOptions>({{"kernels", "fuse"}}, {"kernels", "did you mean fused?"});
  expect_refused<ModelOptions>({{"format", "tq9"}}, {"format", "tq9", "tq8"});
  expect_refused<ModelOptions>({{"kv_dtype", "q8"}}, {"kv_dtype", "q8", "bf16"});
  expect_refused<ModelOptions>({{"gpu_memory", "much"}}, {"gpu_memory", "much"});
  expect_refused<ModelOptions>({{"gpu_memory", -1}}, {"gpu_memory", "-1"});
  expect_refused<ModelOptions>({{"ctx", "1000M"}}, {"ctx", "1000M"});
  expect_refused<ModelOptions>({{"batch", 0}}, {"batch: 0"});
  expect_refused<ModelOptions>({{"ignore_config", {1}}}, {"ignore_config", "texts"});
  expect_refused<ModelOptions>({{"thread", 2}}, {"thread", "did you mean threads?"});
  expect_refused<ModelOptions>({{"ctx", 1}, {"max_model_len", 1}}, {"both of its names"});
  expect_refused<ModelOptions>(Json::array(), {"must be a JSON object"});
  expect_refused<SamplingOptions>({{"top_k", 1.5}}, {"top_k", "whole number"});
  expect_refused<SamplingOptions>({{"top_k", int64_t{1} << 32}}, {"top_k"});
  expect_refused<SamplingOptions>({{"temperature", 1e300}}, {"temperature", "a number"});
  expect_refused<SamplingOptions>({{"seed", -2}}, {"seed", "-2"});
  expect_refused<SamplingOptions>({{"stop", {"a", 1}}}, {"stop", "texts"});
}

// What programs give that have texts only.
template <typename Options>
Options read_texts(const Json& object) {
  Options options;
  OptionReader::read_all(object, options, OptionValues::kTexts);
  return options;
}

TEST(Options, ComeFromTexts) {
  const auto model = read_texts<ModelOptions>({{"exact", "true"},
                                               {"threads", "3"},
                                               {"ctx", "32k"},
                                               {"gpu_memory", "12GiB"},
                                               {"kv_format", "bf16"},
                                               {"batch", "64"},
                                               {"ignore_config", {"a", "b"}}});
  EXPECT_TRUE(model.exact);
  EXPECT_EQ(model.threads, 3);
  EXPECT_EQ(model.ctx, 32768);
  EXPECT_EQ(model.gpu_memory, uint64_t{12} << 30);
  EXPECT_EQ(model.kv_format, "bf16");
  EXPECT_EQ(model.batch, 64);
  EXPECT_THAT(model.ignore_config, ElementsAre("a", "b"));
  EXPECT_EQ(read_texts<ModelOptions>({{"ctx", "4096"}}).ctx, 4096);
  EXPECT_EQ(read_texts<ModelOptions>({{"format", "tq3"}}).format, "tq3");
  for (const Json& wrong : {Json{{"exact", "yes"}}, Json{{"threads", "3.5"}}, Json{{"threads", ""}},
                            Json{{"threads", {"1", "2"}}}, Json{{"batch", "0"}},
                            Json{{"format", {"tq3", "tq4"}}}, Json{{"ctx", "-1"}}}) {
    expect_error(ErrorCode::kInvalidArgument, {wrong.begin().key()},
                 [&] { read_texts<ModelOptions>(wrong); });
  }
}

TEST(Options, OfConversionsComeFromBoth) {
  const auto texts = read_texts<ConversionOptions>({{"format", "tq4"},
                                                    {"bpw", "3.5"},
                                                    {"resume", "false"},
                                                    {"bits", "4"},
                                                    {"shard_size", "4GB"},
                                                    {"ctx", "8k"},
                                                    {"kv_dtype", "bf16"}});
  ConversionOptions json;
  OptionReader::read_all({{"format", "tq4"},
                          {"bpw", 3.5},
                          {"resume", false},
                          {"bits", 4},
                          {"shard_size", 4'000'000'000},
                          {"ctx", 8192},
                          {"kv_format", "bf16"}},
                         json);
  for (const ConversionOptions& options : {texts, json}) {
    EXPECT_EQ(options.format, "tq4");
    EXPECT_EQ(options.target.bits_per_weight, 3.5);
    EXPECT_FALSE(options.resume);
    EXPECT_EQ(options.ints.bits, 4);
    EXPECT_EQ(options.shard_bytes, 4'000'000'000u);
    EXPECT_EQ(options.target.fit.context, 8192);
    EXPECT_EQ(options.target.fit.kv_format, "bf16");
  }
  for (const Json& wrong :
       {Json{{"bpw", 0.05}}, Json{{"bpw", "4"}}, Json{{"ctx", "auto"}}, Json{{"kv_format", "auto"}},
        Json{{"effort", "most"}}, Json{{"layout", "zip"}}, Json{{"resume", 1}}}) {
    ConversionOptions options;
    expect_error(ErrorCode::kInvalidArgument, {wrong.begin().key()},
                 [&] { OptionReader::read_all(wrong, options); });
  }
}

}  // namespace
}  // namespace tq::test
