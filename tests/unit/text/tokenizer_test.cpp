// Tokenizer: what it refuses, special tokens, invalid UTF-8 and streaming.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/golden_tokenizer.h"

namespace tq {
namespace {

using fixtures::golden_tokenizer;
using testing::HasSubstr;

std::shared_ptr<const Tokenizer> load(const Json& json, const std::string& config = "") {
  return Tokenizer::from_json(json.dump(), config);
}

// The error that loading ends with.
std::pair<ErrorCode, std::string> load_error(const std::string& json,
                                             const std::string& config = "") {
  try {
    Tokenizer::from_json(json, config);
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ErrorCode::kInternal, "loads"};
}

struct BadFile {
  const char* pointer;      // what to replace in the smollm fixture
  const char* replacement;  // JSON; empty: remove
  ErrorCode code;
  const char* message;
};

constexpr ErrorCode kCorrupt = ErrorCode::kCorrupt;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;

class TokenizerRefuses : public testing::TestWithParam<BadFile> {};

TEST_P(TokenizerRefuses, WithAClearMessage) {
  const BadFile& bad = GetParam();
  Json json = golden_tokenizer("smollm");
  const Json::json_pointer pointer(bad.pointer);
  if (*bad.replacement == '\0') {
    json[pointer.parent_pointer()].erase(pointer.back());
  } else {
    json[pointer] = Json::parse(bad.replacement);
  }
  const auto [code, message] = load_error(json.dump());
  EXPECT_EQ(code, bad.code) << message;
  EXPECT_THAT(message, HasSubstr(bad.message));
}

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerRefuses,
    testing::Values(
        BadFile{"/model", "", kCorrupt, "model"}, BadFile{"/model", "[]", kCorrupt, "model"},
        BadFile{"/model/type", "\"Unigram\"", kUnsupported, "Unigram"},
        BadFile{"/model/type", "7", kCorrupt, "type"},
        BadFile{"/model/dropout", "0.1", kUnsupported, "dropout"},
        BadFile{"/model/continuing_subword_prefix", "\"##\"", kUnsupported, "##"},
        BadFile{"/model/end_of_word_suffix", "\"</w>\"", kUnsupported, "</w>"},
        BadFile{"/model/unheard_of", "true", kUnsupported, "unheard_of"},
        BadFile{"/model/fuse_unk", "\"yes\"", kCorrupt, "fuse_unk"},
        BadFile{"/model/unk_token", "\"<nowhere>\"", kCorrupt, "<nowhere>"},
        BadFile{"/model/vocab", "", kCorrupt, "vocab"},
        BadFile{"/model/vocab", "{}", kCorrupt, "merge"},
        BadFile{"/model/vocab/new", "3", kCorrupt, "both have id 3"},
        BadFile{"/model/vocab/new", "-1", kCorrupt, "-1"},
        BadFile{"/model/vocab/new", "4000000000", kCorrupt, "4000000000"},
        BadFile{"/model/vocab/new", "1e300", kCorrupt, "not an integer"},
        BadFile{"/model/vocab/new", "\"x\"", kCorrupt, "not an integer"},
        BadFile{"/model/merges", "", kCorrupt, "merges"},
        BadFile{"/model/merges", "{}", kCorrupt, "merges"},
        BadFile{"/model/merges", "[\"a b c\"]", kCorrupt, "not two tokens"},
        BadFile{"/model/merges", "[\"ab\"]", kCorrupt, "not two tokens"},
        BadFile{"/model/merges", "[[\"a\"]]", kCorrupt, "not two tokens"},
        BadFile{"/model/merges", "[[\"a\", 1]]", kCorrupt, "not two tokens"},
        BadFile{"/model/merges", "[17]", kCorrupt, "not two tokens"},
        BadFile{"/model/merges", "[[\"a\", \"\u4f60\"]]", kCorrupt, "not about tokens"},
        BadFile{"/added_tokens", "{}", kCorrupt, "added_tokens"},
        BadFile{"/added_tokens/0", "{}", kCorrupt, "added_tokens"},
        BadFile{"/added_tokens/0/id", "-5", kCorrupt, "added_tokens"},
        BadFile{"/added_tokens/0/id", "99999999999", kCorrupt, "added_tokens"},
        BadFile{"/added_tokens/0/id", "5", kCorrupt, "contradicts"},
        BadFile{"/added_tokens/0/id", "5000", kCorrupt, "contradicts"},
        BadFile{"/added_tokens/0/content", "\"\"", kCorrupt, "empty"},
        BadFile{"/added_tokens/0/content", "\"other\"", kCorrupt, "contradicts"},
        BadFile{"/added_tokens/0/special", "1", kCorrupt, "special"},
        BadFile{"/normalizer", "{\"type\":\"Lowercase\"}", kUnsupported, "Lowercase"},
        BadFile{"/normalizer", "{\"type\":\"NFC\",\"depth\":1}", kUnsupported, "depth"},
        BadFile{"/normalizer", "{\"typ\":\"NFC\"}", kCorrupt, "type"},
        BadFile{"/normalizer", R"({"type":"Replace","pattern":{"Regex":"a"},"content":"b"})",
                kUnsupported, "regex"},
        BadFile{"/normalizer", R"({"type":"Replace","pattern":{"String":""},"content":"b"})",
                kCorrupt, "empty"},
        BadFile{"/normalizer", R"({"type":"Sequence","normalizers":{}})", kCorrupt, "normalizers"},
        BadFile{"/pre_tokenizer", "{\"type\":\"BertPreTokenizer\"}", kUnsupported,
                "BertPreTokenizer"},
        BadFile{"/pre_tokenizer", "3", kCorrupt, "not an object"},
        BadFile{"/pre_tokenizer",
                R"({"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"})", kCorrupt,
                "regex"},
        BadFile{"/pre_tokenizer",
                R"({"type":"Split","pattern":{"String":"a"},"behavior":"Sideways"})", kUnsupported,
                "Sideways"},
        BadFile{"/pre_tokenizer",
                R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})",
                kUnsupported, "after ByteLevel"},
        BadFile{"/pre_tokenizer", R"({"type":"Metaspace","prepend_scheme":"often"})", kUnsupported,
                "often"},
        BadFile{"/post_processor", "{\"type\":\"RobertaProcessing\"}", kUnsupported, "Roberta"},
        BadFile{"/post_processor", R"({"type":"TemplateProcessing","special_tokens":{},
                "single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]})",
                kCorrupt, "<s>"},
        BadFile{"/post_processor", R"({"type":"TemplateProcessing","special_tokens":{},
                "single":[]})",
                kCorrupt, "no text"},
        BadFile{"/post_processor", R"({"type":"TemplateProcessing",
                "special_tokens":{"x":{"ids":[123456]}},
                "single":[{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"x"}}]})",
                kCorrupt, "123456"},
        BadFile{"/decoder", "null", kUnsupported, "decoder"},
        BadFile{"/decoder", "{\"type\":\"WordPiece\"}", kUnsupported, "WordPiece"},
        BadFile{"/decoder", R"({"type":"Strip","content":" ","start":1,"stop":0})", kUnsupported,
                "Fuse"}));

TEST(Tokenizer, RefusesWhatIsNotJson) {
  for (const char* text :
       {"", "{", "[]", "null", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xff\":1}}}",
        "{\"model\":\"\\ud800\"}", "{}x"}) {
    EXPECT_EQ(load_error(text).first, ErrorCode::kCorrupt) << text;
  }
  std::string deep(5000, '[');
  EXPECT_EQ(load_error(deep).first, ErrorCode::kCorrupt);
  EXPECT_EQ(load_error(golden_tokenizer("smollm").dump(), "{").first, ErrorCode::kCorrupt);
  EXPECT_EQ(load_error(golden_tokenizer("smollm").dump(), R"({"bos_token":[1]})").first,
            ErrorCode::kCorrupt);
}

TEST(Tokenizer, RefusesDuplicateKeys) {
  const std::string tail = R"("merges":[]},"decoder":{"type":"ByteLevel"}})";
  EXPECT_THAT(load_error(R"({"model":{"type":"BPE","vocab":{"a":1,"a":2},)" + tail).second,
              HasSubstr("\"a\" occurs twice"));
  EXPECT_THAT(load_error(R"({"model":{"type":"BPE","type":"BPE","vocab":{"a":1},)" + tail).second,
              HasSubstr("duplicate key \"type\""));
  EXPECT_THAT(load_error(R"({"model":null,"model":{"type":"BPE","vocab":{"a":1},)" + tail).second,
              HasSubstr("duplicate key \"model\""));
}

TEST(Tokenizer, SpecialTokensByName) {
  const Json json = golden_tokenizer("smollm");
  const auto tokenizer =
      load(json, R"({"bos_token":"<|im_start|>","eos_token":{"content":"<|im_end|>"}})");
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->token_id("<|endoftext|>"), 0);
  EXPECT_EQ(tokenizer->token_id("no such token"), std::nullopt);
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_FALSE(tokenizer->is_special(3));
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_FALSE(tokenizer->is_special(1 << 30));
  EXPECT_EQ(load(json)->bos(), std::nullopt);
  EXPECT_EQ(load(json, R"({"bos_token":null})")->bos(), std::nullopt);
}

TEST(Tokenizer, SpecialTokensInTextOnlyWhenAsked) {
  const auto tokenizer = load(golden_tokenizer("smollm"));
  EXPECT_THAT(tokenizer->encode("<|im_start|>"), testing::ElementsAre(1));
  const auto plain = tokenizer->encode("<|im_start|>", {.parse_special = false});
  EXPECT_GT(plain.size(), 1u);
  EXPECT_EQ(tokenizer->decode(plain, true), "<|im_start|>");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{1}, true), "");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{1, -7, 1 << 30}, false), "<|im_start|>");
}

TEST(Tokenizer, AddedTokensBeyondTheModelKeepTheirIds) {
  Json json = golden_tokenizer("smollm");
  json["added_tokens"].push_back({{"id", 1000}, {"content", "<far>"}, {"special", true}});
  const auto tokenizer = load(json);
  EXPECT_EQ(tokenizer->vocab_size(), 1001);
  EXPECT_THAT(tokenizer->encode("<far>"), testing::ElementsAre(1000));
  EXPECT_EQ(tokenizer->token_bytes(1000), "<far>");
  EXPECT_EQ(tokenizer->token_bytes(999), "");  // a hole
}

TEST(Tokenizer, InvalidUtf8CountsAsReplacementCharacters) {
  for (const char* name : {"smollm", "gemma"}) {
    const auto tokenizer = load(golden_tokenizer(name));
    EXPECT_EQ(tokenizer->encode("a\xFF z"), tokenizer->encode("a\uFFFD z"));
    // One for a truncated character, one for each byte of an overlong form.
    EXPECT_EQ(tokenizer->encode("\xE4\xBD"), tokenizer->encode("\uFFFD"));
    EXPECT_EQ(tokenizer->encode("\xC0\xAF"), tokenizer->encode("\uFFFD\uFFFD"));
    EXPECT_EQ(tokenizer->encode("\xED\xA0\x80"), tokenizer->encode("\uFFFD\uFFFD\uFFFD"));
    EXPECT_EQ(tokenizer->encode("\xF0\x9F\x98!"), tokenizer->encode("\uFFFD!"));
  }
}

TEST(Tokenizer, LongWordsTakeNoQuadraticTime) {
  const auto tokenizer = load(golden_tokenizer("gemma"));
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "ab "[i % 3];
  const auto ids = tokenizer->encode(text, {.add_special = false});
  EXPECT_EQ(tokenizer->decode(ids, false), text);
}

TEST(StreamDetokenizer, GivesWholeCharacters) {
  const auto tokenizer = load(golden_tokenizer("smollm"));
  const std::string text = "x\u00e9\u4f60\U0001F600y";
  std::string joined;
  StreamDetokenizer detokenizer(tokenizer, true);
  for (const int32_t id : tokenizer->encode(text)) {
    const std::string piece = detokenizer.push(id);
    if (!piece.empty()) {
      EXPECT_NE(static_cast<unsigned char>(piece[0]) & 0xC0, 0x80);
    }
    joined += piece;
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(StreamDetokenizer, ReplacesWhatCannotBecomeACharacter) {
  const auto tokenizer = load(golden_tokenizer("gemma"));
  const auto byte = [&](const char* name) { return tokenizer->token_id(name).value(); };
  StreamDetokenizer detokenizer(tokenizer, true);
  EXPECT_EQ(detokenizer.push(byte("<0xF0>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0x9F>")), "");
  EXPECT_EQ(detokenizer.push(byte("<0x41>")), "\uFFFDA");
  EXPECT_EQ(detokenizer.push(byte("<0xFF>")), "\uFFFD");
  EXPECT_EQ(detokenizer.push(byte("<0xE4>")), "");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(StreamDetokenizer, DropsTheSpaceThatEncodingAddedOnce) {
  const auto tokenizer = load(golden_tokenizer("llama2"));
  StreamDetokenizer detokenizer(tokenizer, true);
  std::string text;
  for (const int32_t id : tokenizer->encode("the  of")) text += detokenizer.push(id);
  EXPECT_EQ(text, "the  of");
}

}  // namespace
}  // namespace tq
