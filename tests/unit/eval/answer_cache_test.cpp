#include "eval/answer_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "unit/eval/scripted_model.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::ScriptedModel;
using fixtures::TempDir;

ChatAsk about(const std::string& text) {
  return {.messages = Json::array({{{"role", "user"}, {"content", text}}}), .max_tokens = 8};
}

// Asks for the texts; returns how many of them reached the model.
size_t ask_for(const std::string& path, const std::vector<std::string>& texts,
               const Json& name = "m", ChatFault fault = ChatFault::kNone) {
  AnswerCache cache(path);
  auto scripted = std::make_unique<ScriptedModel>(
      [&](const ChatAsk& ask) {
        return ChatAnswer{.text = "re: " + fixtures::last_message(ask), .fault = fault};
      },
      name);
  ScriptedModel& inner = *scripted;
  CachedModel model(std::move(scripted), cache);
  size_t n_told = 0;
  for (const std::string& text : texts) {
    model.ask(about(text), [&, text](const ChatAnswer& answer) {
      EXPECT_EQ(answer.text, "re: " + text);
      ++n_told;
    });
  }
  model.run();
  EXPECT_EQ(n_told, texts.size());
  return inner.asked.size();
}

TEST(AnswerCache, ARunGoesOnWhereItWas) {
  const TempDir dir;
  const std::string path = (dir.path() / "cache.jsonl").string();
  EXPECT_EQ(ask_for(path, {"one", "kaksi – ä 👍\n"}), 2u);
  EXPECT_EQ(ask_for(path, {"one", "kaksi – ä 👍\n", "three"}), 1u);
  EXPECT_EQ(ask_for(path, {"three", "one"}), 0u);
  EXPECT_EQ(ask_for(path, {"one"}, "another model"), 1u);
}

TEST(AnswerCache, OtherOptionsAreOtherAsks) {
  AnswerCache cache("");
  ChatAsk ask = about("x");
  cache.add("m", ask, {.text = "y"});
  EXPECT_NE(cache.find("m", ask), nullptr);
  ask.seed = 5;  // greedy: a seed changes nothing
  EXPECT_NE(cache.find("m", ask), nullptr);
  ask.temperature = 0.5;
  EXPECT_EQ(cache.find("m", ask), nullptr);
  ask = about("x");
  ask.max_tokens = 9;
  EXPECT_EQ(cache.find("m", ask), nullptr);
  ask = about("x");
  ask.schema = {{"type", "object"}};
  EXPECT_EQ(cache.find("m", ask), nullptr);
}

TEST(AnswerCache, FaultsAreNotKept) {
  const TempDir dir;
  const std::string path = (dir.path() / "cache.jsonl").string();
  EXPECT_EQ(ask_for(path, {"one"}, "m", ChatFault::kFailed), 1u);
  EXPECT_EQ(ask_for(path, {"one"}), 1u);
  EXPECT_EQ(ask_for(path, {"one"}), 0u);
}

TEST(AnswerCache, ALineThatWasCutIsForgotten) {
  const TempDir dir;
  const std::string path = (dir.path() / "cache.jsonl").string();
  ask_for(path, {"one", "two"});
  const auto size = fs::file_size(path);
  for (const uintmax_t cut : {uintmax_t{1}, uintmax_t{20}}) {
    fs::resize_file(path, size - cut);
    EXPECT_EQ(ask_for(path, {"one", "two"}), 1u);
    EXPECT_EQ(ask_for(path, {"one", "two"}), 0u);
    EXPECT_EQ(fs::file_size(path), size);
  }
}

TEST(AnswerCache, AnotherFileIsRefused) {
  const TempDir dir;
  const std::string path = (dir.path() / "notes.txt").string();
  std::ofstream(path) << "{\"model\": 1}\n";
  expect_error(ErrorCode::kCorrupt, {"notes.txt: line 1", "no kept answer"},
               [&] { AnswerCache cache(path); });
  std::ofstream(path) << "no JSON\n";
  expect_error(ErrorCode::kCorrupt, {"notes.txt: line 1"}, [&] { AnswerCache cache(path); });
  EXPECT_EQ(read_text_file(path), "no JSON\n");
}

}  // namespace
}  // namespace tq
