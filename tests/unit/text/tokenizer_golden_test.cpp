// Our ids and texts against what the Hugging Face tokenizers library gave for tiny tokenizers of
// every supported shape (tests/golden/tokenizer/make_tokenizer_fixtures.py).
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace tq {
namespace {

class TokenizerGolden : public testing::TestWithParam<const char*> {
 protected:
  static std::string read(const std::string& suffix) {
    return read_text_file(fs::path(TQ_TEST_DATA "/golden/tokenizer") / (GetParam() + suffix));
  }
};

TEST_P(TokenizerGolden, SameIdsAndTexts) {
  const auto tokenizer = Tokenizer::from_json(read(".json"));
  const Json rows = parse_json(read(".expected.json"), "expected");
  ASSERT_GE(rows.size(), 200u);
  for (const Json& row : rows) {
    const auto text = row[0].get<std::string>();
    SCOPED_TRACE(row[0].dump());
    const std::vector<int32_t> ids = tokenizer->encode(text);
    EXPECT_EQ(ids, row[1].get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer->encode(text, {.add_special = false, .parse_special = false}),
              row[2].get<std::vector<int32_t>>());
    StreamDetokenizer detokenizer(tokenizer, /*skip_special=*/true);
    std::string streamed;
    for (const int32_t id : ids) streamed += detokenizer.push(id);
    streamed += detokenizer.finish();
    EXPECT_EQ(streamed, row[3].get<std::string>());
  }
}

TEST_P(TokenizerGolden, DecodeIsTheBytesOfTheTokens) {
  const auto tokenizer = Tokenizer::from_json(read(".json"));
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    const std::vector<int32_t> twice = {id, id};
    const std::string bytes = tokenizer->token_bytes(id);
    ASSERT_FALSE(bytes.empty()) << id;
    EXPECT_EQ(tokenizer->decode(twice, false), tokenizer->decode({&id, 1}, false) + bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden,
                         testing::Values("smollm", "qwen", "glm", "llama3", "gemma", "llama2",
                                         "metaspace", "generic_split", "qwen3", "glm4", "gemma4",
                                         "qwen35", "tekken", "gpt4o", "deepseek_llm",
                                         "deepseek_coder", "deepseek_v3"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace tq
