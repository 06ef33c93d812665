// The tokenizer.json and tokenizer_config.json made of GGUF metadata. (That such files tokenize
// as they should is tested in text/ and, on whole models, by scripts/compare_tokenizers.py.)
#include "io/gguf/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/gguf_builder.h"

namespace tq {
namespace {

using fixtures::GgufBuilder;

GgufTokenizer read(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return gguf_tokenizer(
      {std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), "test.gguf"});
}

std::map<std::string, std::string> files_of(const GgufBuilder& builder) {
  return read(builder).files;
}

Json tokenizer_of(const GgufBuilder& builder) {
  return parse_json(files_of(builder).at("tokenizer.json"), "tokenizer.json");
}

std::pair<ErrorCode, std::string> error_of(const GgufBuilder& builder) {
  try {
    files_of(builder);
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ErrorCode::kInternal, "no error"};
}

GgufBuilder byte_level() {
  GgufBuilder builder;
  builder.string("tokenizer.ggml.model", "gpt2")
      .string("tokenizer.ggml.pre", "smollm")
      .strings("tokenizer.ggml.tokens", {"<|end|>", "a", "b", "ab", "\"\\\n"})
      .i32s("tokenizer.ggml.token_type", {3, 1, 1, 1, 4})
      .strings("tokenizer.ggml.merges", {"a b"})
      .u32("tokenizer.ggml.bos_token_id", 0)
      .u32("tokenizer.ggml.eos_token_id", 0)
      .string("tokenizer.chat_template", "{{ messages }}");
  return builder;
}

// As Gemma's: user defined runs of spaces and newlines, whose scores the converter has lost.
GgufBuilder sentencepiece() {
  GgufBuilder builder;
  builder.string("tokenizer.ggml.model", "llama")
      .strings("tokenizer.ggml.tokens", {"<unk>", "<bos>", "<eos>", "\n", "\n\n", "  ", "<0x00>",
                                         "ab", "\u2581a", "\u2581ab", "\u2581", "a", "b"})
      .i32s("tokenizer.ggml.token_type", {2, 3, 3, 4, 4, 4, 6, 1, 1, 1, 1, 1, 1})
      .f32s("tokenizer.ggml.scores",
            {-1000, -1000, -1000, -1000, -1000, -1000, 0, -2, -1, -3, -4, -5, -6})
      .u32("tokenizer.ggml.unknown_token_id", 0)
      .u32("tokenizer.ggml.bos_token_id", 1)
      .u32("tokenizer.ggml.eos_token_id", 2)
      .boolean("tokenizer.ggml.add_space_prefix", false);
  return builder;
}

TEST(GgufTokenizer, NothingWithoutATokenizer) {
  EXPECT_TRUE(files_of(GgufBuilder().string("general.architecture", "llama")).empty());
}

TEST(GgufTokenizer, ByteLevel) {
  const auto files = files_of(byte_level());
  const Json json = parse_json(files.at("tokenizer.json"), "tokenizer.json");
  EXPECT_EQ(json["model"]["type"], "BPE");
  EXPECT_EQ(json["model"]["vocab"].dump(), R"({"<|end|>":0,"a":1,"b":2,"ab":3,"\"\\\n":4})");
  EXPECT_EQ(json["model"]["merges"].dump(), R"(["a b"])");
  EXPECT_EQ(json["added_tokens"].size(), 2u);
  EXPECT_EQ(json["added_tokens"][0]["special"], true);
  EXPECT_EQ(json["added_tokens"][1]["special"], false);
  EXPECT_EQ(json["pre_tokenizer"]["pretokenizers"][0]["type"], "Digits");
  EXPECT_TRUE(json["post_processor"].is_null());
  EXPECT_EQ(json["decoder"]["type"], "ByteLevel");
  const Json config = parse_json(files.at("tokenizer_config.json"), "tokenizer_config.json");
  EXPECT_EQ(config["bos_token"], "<|end|>");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_FALSE(config.contains("pad_token"));
}

TEST(GgufTokenizer, PreChoosesTheSplit) {
  const auto with_pre = [](const char* pre) {
    return tokenizer_of(byte_level().string("tokenizer.ggml.pre", pre));
  };
  EXPECT_EQ(with_pre("gpt-2")["pre_tokenizer"]["use_regex"], true);
  const Json llama = with_pre("llama-bpe");
  EXPECT_EQ(llama["model"]["ignore_merges"], true);
  EXPECT_EQ(llama["post_processor"]["type"], "TemplateProcessing");  // BOS, though not asked for
  const Json qwen = with_pre("qwen2");
  EXPECT_EQ(qwen["normalizer"]["type"], "NFC");
  const auto regex = [](const Json& json) {
    return json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].get<std::string>();
  };
  EXPECT_THAT(regex(qwen), ::testing::HasSubstr("|\\p{N}|"));
  EXPECT_THAT(regex(with_pre("glm4")), ::testing::HasSubstr("|\\p{N}{1,3}|"));
}

// llama.cpp splits these by the same expression as the first of each row.
TEST(GgufTokenizer, PreHasAliases) {
  const std::vector<std::vector<const char*>> same = {
      {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "modern-bert", "exaone4"},
      {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"},
      {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
      {"glm4", "chatglm-bpe", "dbrx", "smaug-bpe"},
      {"qwen2", "deepseek-r1-qwen", "megrez"},
      {"stablelm2", "hunyuan", "kormo", "solar-open", "grok-2"},
      {"gpt-4o", "llama4", "kanana2", "minimax-m2"},
      {"deepseek-v3", "hunyuan-dense", "joyai-llm"}};
  for (const auto& names : same) {
    const auto tokenizer = [](const char* pre) {
      return tokenizer_of(byte_level().string("tokenizer.ggml.pre", pre));
    };
    for (const char* name : names) EXPECT_EQ(tokenizer(name), tokenizer(names[0])) << name;
  }
}

// As tokenizers of that shape have it, which tokenizer_golden_test.cpp splits by.
TEST(GgufTokenizer, PreIsWhatThePublishedTokenizersHave) {
  const std::pair<const char*, const char*> same[] = {{"qwen35", "qwen35"},
                                                      {"tekken", "tekken"},
                                                      {"gpt-4o", "gpt4o"},
                                                      {"deepseek-llm", "deepseek_llm"},
                                                      {"deepseek-coder", "deepseek_coder"},
                                                      {"deepseek-v3", "deepseek_v3"},
                                                      {"qwen2", "qwen3"},
                                                      {"glm4", "glm4"}};
  for (const auto& [pre, golden] : same) {
    const std::string file = read_text_file(fs::path(TQ_TEST_DATA "/golden/tokenizer") /
                                            (std::string(golden) + ".json"));
    const Json expected = parse_json(file, golden)["pre_tokenizer"]["pretokenizers"];
    const Json made = tokenizer_of(byte_level().string("tokenizer.ggml.pre", pre));
    const Json& steps = made["pre_tokenizer"]["pretokenizers"];
    ASSERT_EQ(steps.size(), expected.size()) << pre;
    for (size_t i = 0; i + 1 < steps.size(); ++i) EXPECT_EQ(steps[i], expected[i]) << pre;
  }
}

// Everything but tokenizer.json is there, and why it is not.
TEST(GgufTokenizer, AnUnknownPreLeavesOutTheTokenizerOnly) {
  const GgufTokenizer unknown = read(byte_level().string("tokenizer.ggml.pre", "jina-v9"));
  ASSERT_TRUE(unknown.problem.has_value());
  EXPECT_EQ(unknown.problem->code(), ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.problem->what(), ::testing::HasSubstr("\"jina-v9\""));
  EXPECT_EQ(unknown.files.count("tokenizer.json"), 0u);
  const Json config = parse_json(unknown.files.at("tokenizer_config.json"), "config");
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_FALSE(read(byte_level()).problem.has_value());
  const GgufTokenizer bert = read(byte_level().string("tokenizer.ggml.model", "bert"));
  EXPECT_THAT(bert.problem->what(), ::testing::HasSubstr("\"bert\""));
  EXPECT_TRUE(bert.files.empty());
}

TEST(GgufTokenizer, SpecialIdsOutOfRangeAreWarnedOf) {
  ::testing::internal::CaptureStderr();
  const auto files = files_of(byte_level()
                                  .u32("tokenizer.ggml.bos_token_id", 5)
                                  .u32("tokenizer.ggml.padding_token_id", 0xffffffffu)
                                  .boolean("tokenizer.ggml.add_bos_token", true));
  const std::string warning = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(warning, ::testing::HasSubstr("bos_token_id is 5, but there are 5 tokens"));
  EXPECT_THAT(warning, ::testing::Not(::testing::HasSubstr("padding")));  // says "none"
  const Json config = parse_json(files.at("tokenizer_config.json"), "config");
  EXPECT_FALSE(config.contains("bos_token") || config.contains("pad_token"));
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_TRUE(parse_json(files.at("tokenizer.json"), "json")["post_processor"].is_null());
}

TEST(GgufTokenizer, SentencePieceMergesFollowTheScores) {
  const Json json = tokenizer_of(sentencepiece());
  EXPECT_EQ(json["model"]["merges"].dump(),
            R"([["\n","\n"],["▁","▁"],["▁","a"],["a","b"],["▁","ab"],["▁a","b"]])");
  EXPECT_EQ(json["model"]["vocab"]["\u2581\u2581"], 5);
  EXPECT_EQ(json["model"]["unk_token"], "<unk>");
  EXPECT_EQ(json["model"]["byte_fallback"], true);
  EXPECT_EQ(json["normalizer"]["type"], "Replace");
  EXPECT_EQ(json["decoder"]["decoders"].size(), 3u);
  EXPECT_EQ(json["added_tokens"].size(), 6u);
  EXPECT_EQ(json["post_processor"]["single"][0]["SpecialToken"]["id"], "<bos>");  // the default
  EXPECT_EQ(json["post_processor"]["special_tokens"]["<bos>"]["ids"].dump(), "[1]");
}

// The vocabulary of a tokenizer.json of Gemma 4's shape, as a converter writes it.
TEST(GgufTokenizer, Gemma4IsWhatItsTokenizerJsonHas) {
  const fs::path path = fs::path(TQ_TEST_DATA "/golden/tokenizer") / "gemma4.json";
  const Json golden = parse_json(read_text_file(path), "gemma4.json");
  const Json& model = golden["model"];
  std::vector<std::string> tokens;
  for (const auto& [token, id] : model["vocab"].items()) {
    const auto at = id.get<size_t>();
    if (tokens.size() <= at) tokens.resize(at + 1);
    tokens[at] = token;
  }
  std::vector<int32_t> types(tokens.size(), 1);
  for (const Json& added : golden["added_tokens"]) {
    const auto at = added["id"].get<size_t>();
    if (tokens.size() <= at) tokens.resize(at + 1), types.resize(at + 1, 1);
    tokens[at] = added["content"].get<std::string>();
    types[at] = added["special"].get<bool>() ? 3 : 4;
  }
  std::vector<std::string> merges;
  for (const Json& merge : model["merges"]) {
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  GgufBuilder builder;
  builder.string("tokenizer.ggml.model", "gemma4").strings("tokenizer.ggml.tokens", tokens);
  builder.i32s("tokenizer.ggml.token_type", types).strings("tokenizer.ggml.merges", merges);
  builder.u32("tokenizer.ggml.bos_token_id", 2).u32("tokenizer.ggml.unknown_token_id", 3);
  builder.boolean("tokenizer.ggml.add_space_prefix", false);
  const Json made = tokenizer_of(builder);
  EXPECT_EQ(made["model"]["merges"], Json(merges));
  for (const auto& [token, id] : model["vocab"].items()) {
    ASSERT_EQ(made["model"]["vocab"].value(token, Json()), id) << token;
  }
  for (const char* key : {"unk_token", "fuse_unk", "byte_fallback", "ignore_merges"}) {
    EXPECT_EQ(made["model"][key], model[key]) << key;
  }
  EXPECT_EQ(made["normalizer"], golden["normalizer"]);
  EXPECT_EQ(made["decoder"], golden["decoder"]);
  EXPECT_TRUE(made["pre_tokenizer"].is_null());  // spaces, at which it would part, are no more
  EXPECT_EQ(made["post_processor"]["single"][0]["SpecialToken"]["id"], "<bos>");
  EXPECT_EQ(made["added_tokens"].size(), golden["added_tokens"].size());
}

TEST(GgufTokenizer, SentencePieceOptions) {
  const Json json = tokenizer_of(sentencepiece()
                                     .erase("tokenizer.ggml.add_space_prefix")
                                     .boolean("tokenizer.ggml.add_bos_token", false)
                                     .boolean("tokenizer.ggml.add_eos_token", true));
  EXPECT_EQ(json["normalizer"]["normalizers"][0]["type"], "Prepend");
  EXPECT_EQ(json["decoder"]["decoders"][3]["type"], "Strip");
  EXPECT_EQ(json["post_processor"]["single"][1]["SpecialToken"]["id"], "<eos>");
}

TEST(GgufTokenizer, RefusesMetadataThatContradictsItself) {
  const std::vector<std::pair<GgufBuilder, const char*>> bad = {
      {byte_level().erase("tokenizer.ggml.tokens"), "no tokenizer.ggml.tokens"},
      {byte_level().erase("tokenizer.ggml.merges"), "no tokenizer.ggml.merges"},
      {byte_level().i32s("tokenizer.ggml.token_type", {1}), "1 token types for 5"},
      {byte_level().strings("tokenizer.ggml.tokens", {"\xFF", "a", "b", "c", "d"}), "UTF-8"},
      {byte_level().strings("tokenizer.ggml.merges", {"\xFF a"}), "UTF-8"},
      {byte_level().string("tokenizer.chat_template", "\xFF"), "UTF-8"},
      {sentencepiece().erase("tokenizer.ggml.scores"), "scores"},
      {sentencepiece().f32s("tokenizer.ggml.scores", {1, 2}), "scores"},
  };
  for (const auto& [builder, expected] : bad) {
    const auto [code, message] = error_of(builder);
    EXPECT_EQ(code, ErrorCode::kCorrupt) << expected;
    EXPECT_THAT(message, ::testing::HasSubstr(expected));
  }
}

}  // namespace
}  // namespace tq
