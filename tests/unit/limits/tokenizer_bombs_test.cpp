// Tokenizers and texts made to take for ever: each ends, with ids or with an error, within a second
// of this thread's time for 100 kB of text.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/golden_tokenizer.h"
#include "support/measured.h"
#include "text/tokenizer.h"

namespace tq {
namespace {

using fixtures::golden_tokenizer;
using fixtures::kMeasured;
using fixtures::thread_seconds;

constexpr size_t kBytes = 100'000;

// The error that `act` ends with, empty for none; and that it ended in time.
std::string error_in_time(const std::function<void()>& act) {
  const double begin = thread_seconds();
  std::string error;
  try {
    act();
  } catch (const Error& e) {
    EXPECT_TRUE(e.code() == ErrorCode::kUnsupported || e.code() == ErrorCode::kCorrupt) << e.what();
    error = e.what();
  }
  if (kMeasured) {
    EXPECT_LT(thread_seconds() - begin, 1.0);
  }
  return error;
}

std::string encode_in_time(const Json& json, const std::string& text) {
  std::shared_ptr<const Tokenizer> tokenizer;
  const std::string refused = error_in_time([&] { tokenizer = Tokenizer::from_json(json.dump()); });
  if (!refused.empty()) return refused;
  return error_in_time([&] { tokenizer->encode(text, {.add_special = false}); });
}

std::string repeated(std::string_view part, size_t bytes = kBytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

Json replace_rule(const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{"String", pattern}}}, {"content", content}};
}

Json sequence(const char* key, const Json& list) { return {{"type", "Sequence"}, {key, list}}; }

Json added(int id, const std::string& content, const Json& more = Json::object()) {
  Json token = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", false}};
  token.update(more);
  return token;
}

TEST(TokenizerBombs, NormalizersThatMultiply) {
  Json rules = Json::array();
  for (int i = 0; i < 60; ++i) rules.push_back(replace_rule("a", "aa"));
  Json json = golden_tokenizer("gemma");
  json["normalizer"] = sequence("normalizers", rules);
  EXPECT_NE(encode_in_time(json, repeated("a")).find("multipl"), std::string::npos);
  // Not only in the whole text: added tokens cut it into many stretches.
  json["added_tokens"].push_back(added(200'000, "|"));
  EXPECT_NE(encode_in_time(json, repeated("a|")).find("multipl"), std::string::npos);
  json["normalizer"] = replace_rule("a", std::string(1'000'000, 'b'));
  EXPECT_NE(encode_in_time(json, repeated("a")).find("multipl"), std::string::npos);
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(50'000, 'b')}};
  EXPECT_NE(encode_in_time(json, repeated("a|")).find("multipl"), std::string::npos);
  // Rules that change much and often, and make nothing longer.
  rules.clear();
  for (int i = 0; i < 4000; ++i)
    rules.push_back(replace_rule(i % 2 ? "a" : "b", i % 2 ? "b" : "a"));
  json["normalizer"] = sequence("normalizers", rules);
  EXPECT_NE(encode_in_time(json, repeated("a")), "");
}

TEST(TokenizerBombs, DecodersThatMultiply) {
  Json rules = Json::array();
  for (int i = 0; i < 60; ++i) rules.push_back(replace_rule("e", "ee"));
  Json json = golden_tokenizer("gemma");
  json["decoder"] = sequence("decoders", rules);
  EXPECT_NE(encode_in_time(json, "a").find("multipl"), std::string::npos);
  json["decoder"] =
      sequence("decoders", Json::array({replace_rule("e", repeated("x", 1'000'000))}));
  EXPECT_NE(encode_in_time(json, "a").find("multipl"), std::string::npos);
}

TEST(TokenizerBombs, LongAddedTokens) {
  Json json = golden_tokenizer("smollm");
  const int id = 200'000;
  json["added_tokens"].push_back(added(id, std::string(kBytes, 'a') + "b"));
  EXPECT_NE(encode_in_time(json, std::string(kBytes, 'a')).find("steps"), std::string::npos);
  EXPECT_EQ(encode_in_time(json, repeated("It is a plain text. ")), "");
  // White space that many tokens take.
  json = golden_tokenizer("smollm");
  json["added_tokens"].push_back(added(id, "\n", {{"rstrip", true}}));
  json["added_tokens"].push_back(added(id + 1, " ", {{"lstrip", true}}));
  EXPECT_EQ(encode_in_time(json, std::string(kBytes, '\n')), "");
  EXPECT_EQ(encode_in_time(json, repeated(" \n")), "");
  EXPECT_EQ(encode_in_time(json, std::string(kBytes, ' ')), "");
  // Many that begin alike.
  json = golden_tokenizer("smollm");
  for (int i = 0; i < 2000; ++i)
    json["added_tokens"].push_back(
        added(id + i, "ab" + repeated(fmt::format("{:x}", i * 7919), 40)));
  EXPECT_EQ(encode_in_time(json, repeated("ab")), "");
}

TEST(TokenizerBombs, RegexesThatBacktrack) {
  for (const char* regex : {"(a?){20}a{20}b|c", "(a+)+b", "(a|aa)+$|b", "(?:a*)*c", "a*a*a*a*a*b",
                            "(.*)*x", "(?=(a+))\\1{2,}b", "\\s*(?=\\s*x)y|(a{1,50}){1,50}b"}) {
    SCOPED_TRACE(regex);
    Json json = golden_tokenizer("generic_split");
    json["pre_tokenizer"] = sequence(
        "pretokenizers",
        Json::array({{{"type", "Split"},
                      {"pattern", {{"Regex", regex}}},
                      {"behavior", "Isolated"},
                      {"invert", false}},
                     {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}));
    json["decoder"] = {{"type", "ByteLevel"}};
    json["normalizer"] = nullptr;
    (void)encode_in_time(json, std::string(kBytes, 'a'));
    // The limit is the text's, not that of one of its stretches.
    json["added_tokens"].push_back(added(200'000, "|"));
    (void)encode_in_time(json, repeated("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|"));
  }
}

TEST(TokenizerBombs, TokensOfAMegabyte) {
  Json json = golden_tokenizer("smollm");
  json["model"]["vocab"][std::string(1'000'000, 'a')] = 200'000;
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(encode_in_time(json, std::string(kBytes, 'a')), "");
}

TEST(TokenizerBombs, ReplacementsAreOneCharacter) {
  Json json = golden_tokenizer("metaspace");
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", std::string(1'000'000, '_')}};
  EXPECT_NE(encode_in_time(json, repeated(" ")).find("one character"), std::string::npos);
}

// What a tokenizer cannot cut into words, or cuts into as many as there are characters, or meets
// its special tokens in everywhere: all are texts, and give ids.
TEST(TokenizerBombs, TextsOfOneKind) {
  for (const char* name :
       {"gemma", "generic_split", "glm", "llama2", "llama3", "metaspace", "qwen", "smollm"}) {
    const Json json = golden_tokenizer(name);
    const auto tokenizer = Tokenizer::from_json(json.dump());
    const std::string special = json["added_tokens"].empty()
                                    ? "<s>"
                                    : json["added_tokens"][0]["content"].get<std::string>();
    for (const std::string& part :
         {std::string("a"), std::string("7"), std::string(" "), std::string("\n"),
          std::string("'s"), std::string("\u4f60"), std::string("e\u0301\u0301"),
          std::string("\U0001F469\u200D"), std::string("\xff"), std::string("\xe4\xbd"),
          std::string(1, '\0'), special, special.substr(0, special.size() - 1)}) {
      SCOPED_TRACE(fmt::format("{}: {}", name, part));
      std::vector<int32_t> ids;
      EXPECT_EQ(error_in_time([&] { ids = tokenizer->encode(repeated(part)); }), "");
      EXPECT_FALSE(ids.empty());
      std::string text;
      EXPECT_EQ(error_in_time([&] { text = tokenizer->decode(ids, false); }), "");
    }
  }
}

// Pinned: what Hugging Face's tokenizers 0.23 gives for a vocabulary of a, b, space and newline.
TEST(AddedTokens, WhiteSpaceThatOneTakesIsOpenToTheNext) {
  const auto ids = [](const std::string& content, const Json& more, const std::string& text) {
    Json json = {{"version", "1.0"},
                 {"added_tokens",
                  Json::array({added(4, "<x>", {{"rstrip", true}}), added(5, content, more)})},
                 {"pre_tokenizer",
                  {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}},
                 {"decoder", {{"type", "ByteLevel"}}},
                 {"model",
                  {{"type", "BPE"},
                   {"vocab", {{"a", 0}, {"b", 1}, {"\u0120", 2}, {"\u010a", 3}}},
                   {"merges", Json::array()}}}};
    return Tokenizer::from_json(json.dump())->encode(text, {.add_special = false});
  };
  using Ids = std::vector<int32_t>;
  const Json none = Json::object();
  const Json rstrip = {{"rstrip", true}};
  const Json lstrip = {{"lstrip", true}};
  EXPECT_EQ(ids("\n<y>", none, "<x>\n<y>a"), (Ids{4, 5, 0}));
  EXPECT_EQ(ids("\n<y>", none, "<x> \n<y>"), (Ids{4, 5}));
  EXPECT_EQ(ids("\n<y>", none, "<x>   <x>b"), (Ids{4, 4, 1}));
  EXPECT_EQ(ids("  ", none, "<x>   a"), (Ids{4, 5, 2, 0}));
  EXPECT_EQ(ids("  ", none, "<x>   <x>b"), (Ids{4, 5, 2, 4, 1}));
  EXPECT_EQ(ids(" ", none, "<x> \n"), (Ids{4, 5, 3}));
  EXPECT_EQ(ids(" ", none, "<x>  a"), (Ids{4, 5, 5, 0}));
  EXPECT_EQ(ids("  ", rstrip, "<x>   a"), (Ids{4, 5, 0}));
  EXPECT_EQ(ids("  ", rstrip, "a  <y> b"), (Ids{0, 5, 2, 1}));
  EXPECT_EQ(ids(" <y>", lstrip, "<x>  <y>a"), (Ids{4, 5, 0}));
  EXPECT_EQ(ids("\n", rstrip, "<x>\n\n\na"), (Ids{4, 5, 5, 5, 0}));
  EXPECT_EQ(ids("<y>", lstrip, "<x>  <y>a"), (Ids{4, 5, 0}));
  EXPECT_EQ(ids("  ", lstrip, "<x>  a"), (Ids{4, 0}));
}

}  // namespace
}  // namespace tq
