#include "session/load.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "session/generation_config.h"
#include "support/expect_error.h"
#include "support/text_checkpoint.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TextCheckpoint;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ReadEosIds, UnitesAllPlaces) {
  const ToyTokenizer tokenizer;  // eos 29
  const TextCheckpoint checkpoint({{"generation_config.json", R"({"eos_token_id": [1, 106]})"}},
                                  {{"eos_token_id", 1}, {"text_config", {{"eos_token_id", 7}}}});
  EXPECT_THAT(read_eos_ids(checkpoint, &tokenizer), ElementsAre(1, 7, 29, 106));
  EXPECT_THAT(read_eos_ids(checkpoint, nullptr), ElementsAre(1, 7, 106));
}

TEST(ReadEosIds, MayBeMissing) {
  EXPECT_THAT(read_eos_ids(TextCheckpoint({}), nullptr), IsEmpty());
  EXPECT_THAT(read_eos_ids(TextCheckpoint({}, {{"eos_token_id", nullptr}}), nullptr), IsEmpty());
}

TEST(ReadEosIds, RefusesWhatIsNoId) {
  expect_error(ErrorCode::kCorrupt, {"config.json", "eos_token_id", "\"</s>\""}, [] {
    read_eos_ids(TextCheckpoint({}, {{"eos_token_id", "</s>"}}), nullptr);
  });
}

TEST(ReadEosIds, RefusesWhatDoesNotFitAnId) {
  // 2^32 + 62 is not token 62.
  for (const char* id : {"4294967358", "18446744073709551615", "1e300", "1.5", "true"}) {
    for (const char* key : {"eos_token_id", "suppress_tokens"}) {
      const TextCheckpoint checkpoint(
          {{"generation_config.json", fmt::format(R"({{"{}": [1, {}]}})", key, id)}});
      expect_error(ErrorCode::kCorrupt, {"nowhere: generation_config.json", key}, [&] {
        read_eos_ids(checkpoint, nullptr);
        read_not_text_ids(checkpoint, nullptr);
      });
    }
    expect_error(ErrorCode::kCorrupt, {"nowhere: config.json", "eos_token_id"}, [&] {
      read_eos_ids(TextCheckpoint({}, {{"eos_token_id", parse_json(id, "id")}}), nullptr);
    });
  }
}

TEST(ReadEosIds, ANegativeIdIsNone) {
  EXPECT_THAT(read_eos_ids(TextCheckpoint({}, {{"eos_token_id", {-1, 5}}}), nullptr),
              ElementsAre(5));
}

TEST(ReadSmallFiles, MustBeObjects) {
  for (const char* text : {"[]", "7", "null", "\"eos\""}) {
    const TextCheckpoint checkpoint(
        std::map<std::string, std::string>{{"generation_config.json", text}});
    expect_error(ErrorCode::kCorrupt, {"nowhere: generation_config.json", "object"},
                 [&] { read_eos_ids(checkpoint, nullptr); });
    expect_error(ErrorCode::kCorrupt, {"nowhere: generation_config.json", "object"},
                 [&] { read_default_sampling(checkpoint); });
  }
}

// The handmade tokenizer of a Gemma 4 chat checkpoint: it has BOS, and leaves it to the template.
std::map<std::string, std::string> gemma4_files(const std::string& tokenizer_config) {
  return {{"tokenizer.json", read_text_file(TQ_TEST_DATA "/golden/tokenizer/gemma4.json")},
          {"tokenizer_config.json", tokenizer_config}};
}

TEST(ReadEosIds, AToolsResultMustCome) {
  const TextCheckpoint checkpoint(gemma4_files(R"({"eos_token": "<turn|>"})"));
  EXPECT_THAT(read_eos_ids(checkpoint, read_tokenizer(checkpoint).get()), ElementsAre(50, 106));
}

TEST(ReadTokenizer, BosForGemmaAndWhereTheConfigSaysSo) {
  const auto first_id = [](const std::string& config, const std::string& type) {
    const TextCheckpoint checkpoint(gemma4_files(config), {{"model_type", type}});
    return read_tokenizer(checkpoint)->encode("a").front();
  };
  constexpr int32_t kBos = 2;
  EXPECT_EQ(first_id(R"({"bos_token": "<bos>"})", "gemma4"), kBos);
  EXPECT_EQ(first_id(R"({"bos_token": "<bos>", "add_bos_token": false})", "gemma4_text"), kBos);
  EXPECT_EQ(first_id(R"({"bos_token": "<bos>", "add_bos_token": true})", "llama"), kBos);
  EXPECT_NE(first_id(R"({"bos_token": "<bos>", "add_bos_token": false})", "llama"), kBos);
  EXPECT_NE(first_id(R"({"bos_token": null, "add_bos_token": true})", "llama"), kBos);
  EXPECT_EQ(read_tokenizer(TextCheckpoint({})), nullptr);
}

TEST(ReadNotTextIds, UnitesAllPlaces) {
  const TextCheckpoint checkpoint(
      {{"generation_config.json", R"({"suppress_tokens": [258882, 7]})"}},
      {{"image_token_id", 258880},
       {"audio_token_id", nullptr},
       {"boi_token_id", 255999},
       {"eoa_token_index", 258883},
       {"bos_token_id", 2}});
  EXPECT_THAT(read_not_text_ids(checkpoint, nullptr),
              ElementsAre(7, 255999, 258880, 258882, 258883));
  EXPECT_THAT(read_not_text_ids(TextCheckpoint({}), nullptr), IsEmpty());
  expect_error(ErrorCode::kCorrupt, {"config.json", "image_token_id"}, [] {
    read_not_text_ids(TextCheckpoint({}, {{"image_token_id", "<image>"}}), nullptr);
  });
}

TEST(ReadNotTextIds, HolesOfTheVocabulary) {
  Json json = parse_json(gemma4_files("")["tokenizer.json"], "tokenizer.json");
  const auto size = static_cast<int32_t>(json["model"]["vocab"].size());
  json["added_tokens"].push_back({{"id", size + 2}, {"content", "<far>"}, {"special", true}});
  const auto tokenizer = Tokenizer::from_json(json.dump());
  EXPECT_THAT(read_not_text_ids(TextCheckpoint({}), tokenizer.get()), ElementsAre(size, size + 1));
}

SamplingParams sampling_of(const std::string& generation_config) {
  return read_default_sampling(TextCheckpoint({{"generation_config.json", generation_config}}));
}

TEST(ReadDefaultSampling, GreedyUnlessTheModelAsksForSampling) {
  EXPECT_EQ(read_default_sampling(TextCheckpoint({})).temperature, 0);
  EXPECT_EQ(sampling_of(R"({"temperature": 0.6})").temperature, 0);
  EXPECT_EQ(sampling_of(R"({"do_sample": true})").temperature, 1);
  const SamplingParams params = sampling_of(
      R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": null})");
  EXPECT_FLOAT_EQ(params.temperature, 0.6f);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_FLOAT_EQ(params.top_p, 0.95f);
  EXPECT_EQ(params.min_p, 0);
}

TEST(ReadDefaultSampling, RefusesWhatIsNoNumber) {
  expect_error(ErrorCode::kCorrupt, {"generation_config.json", "top_p"},
               [] { sampling_of(R"({"do_sample": true, "top_p": "high"})"); });
  for (const char* top_k : {"4294967297", "2.5", "1e300", "true"}) {
    expect_error(ErrorCode::kCorrupt, {"generation_config.json", "top_k"},
                 [&] { sampling_of(fmt::format(R"({{"do_sample": true, "top_k": {}}})", top_k)); });
  }
}

TEST(ReadDefaultSampling, NamesTheFileOfWhatIsOutOfRange) {
  expect_error(ErrorCode::kCorrupt, {"generation_config.json", "top_p", "1.5"},
               [] { sampling_of(R"({"do_sample": true, "top_p": 1.5})"); });
  for (const char* temperature : {"1e300", "1e-300", "-1e300"}) {
    expect_error(ErrorCode::kCorrupt, {"nowhere: generation_config.json", "temperature"}, [&] {
      sampling_of(fmt::format(R"({{"do_sample": true, "temperature": {}}})", temperature));
    });
  }
}

TEST(ChooseContext, AskedOrTheSmallerDefault) {
  ModelSpec spec;
  spec.max_position = 2048;
  EXPECT_EQ(choose_context(spec, 0, 4096), 2048);
  EXPECT_EQ(choose_context(spec, 0, 100), 100);
  EXPECT_EQ(choose_context(spec, 2048, 100), 2048);
  expect_error(ErrorCode::kInvalidArgument, {"2049", "2048"},
               [&] { choose_context(spec, 2049, 100); });
}

}  // namespace
}  // namespace tq
