#include "cli/chat/transcript.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "cli/chat/transcript_file.h"
#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::ElementsAre;

std::vector<std::string> texts(const Json& messages) {
  std::vector<std::string> out;
  for (const Json& message : messages) out.push_back(message["content"].get<std::string>());
  return out;
}

Transcript of_turns(int n, std::string_view system = "") {
  Transcript conversation(system);
  for (int i = 1; i <= n; ++i) {
    conversation.ask("q" + std::to_string(i));
    conversation.answer("a" + std::to_string(i), "");
  }
  return conversation;
}

TEST(Transcript, Turns) {
  Transcript c = of_turns(2, "s");
  EXPECT_THAT(texts(c.messages()), ElementsAre("s", "q1", "a1", "q2", "a2"));
  EXPECT_EQ(c.system(), "s");
  EXPECT_EQ(c.n_turns(), 2);
  c.answer("a2 and more", "because");  // the last answer has become longer
  EXPECT_EQ(c.messages().size(), 5u);
  EXPECT_EQ((*c.last_answer())["reasoning_content"], "because");
  EXPECT_TRUE(c.take_answer_back());
  EXPECT_TRUE(c.ends_with_question());
  EXPECT_FALSE(c.take_answer_back());
  EXPECT_EQ(c.undo(), "q2");
  EXPECT_EQ(c.undo(), "q1");
  EXPECT_EQ(c.undo(), "");
  EXPECT_THAT(texts(c.messages()), ElementsAre("s"));
  EXPECT_FALSE(c.ends_with_question());
}

TEST(Transcript, DropsTheOldestButNeitherSystemNorTheLast) {
  Transcript c = of_turns(3, "s");
  EXPECT_TRUE(c.drop_oldest());
  EXPECT_THAT(texts(c.visible()), ElementsAre("s", "q2", "a2", "q3", "a3"));
  EXPECT_TRUE(c.drop_oldest());
  EXPECT_FALSE(c.drop_oldest());
  EXPECT_THAT(texts(c.visible()), ElementsAre("s", "q3", "a3"));
  EXPECT_EQ(c.n_dropped(), 2);
  EXPECT_EQ(c.messages().size(), 7u);  // all of it is saved
  // The turn that was made room for is gone: the one before is the last, and seen.
  EXPECT_EQ(c.undo(), "q3");
  EXPECT_THAT(texts(c.visible()), ElementsAre("s", "q2", "a2"));
  EXPECT_EQ(c.n_dropped(), 1);
  c.restart("");
  EXPECT_EQ(c.n_dropped(), 0);
  EXPECT_EQ(c.visible().size(), 0u);
}

class TranscriptFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("tq-conversation-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(std::string_view text) const {
    std::ofstream(path("file.json")) << text;
    return path("file.json");
  }

  fs::path folder_;
};

TEST_F(TranscriptFile, ComesBack) {
  Transcript c = of_turns(2, "s\n\u00e4");
  c.answer("a", "r");
  write_transcript(path("a.json"), "model", c.messages());
  EXPECT_EQ(read_transcript(path("a.json")), c.messages());
  const Json json = parse_json(read_text_file(path("a.json")), "a.json");
  EXPECT_EQ(json["model"], "model");
  EXPECT_EQ(json["messages"][0], (Json{{"role", "system"}, {"content", "s\n\u00e4"}}));
  // Again in the same place.
  c.undo();
  write_transcript(path("a.json"), "model", c.messages());
  EXPECT_EQ(read_transcript(path("a.json")).size(), 3u);
}

TEST_F(TranscriptFile, ReplacesNothingElse) {
  write("precious");
  expect_error(ErrorCode::kInvalidArgument, {"not a saved conversation"},
               [&] { write_transcript(path("file.json"), "m", Json::array()); });
  EXPECT_EQ(read_text_file(path("file.json")), "precious");
  fs::create_symlink(path("nowhere"), path("link"));
  expect_error(ErrorCode::kInvalidArgument, {"another name"},
               [&] { write_transcript(path("link"), "m", Json::array()); });
  expect_error(ErrorCode::kInvalidArgument, {"/dev/null"},
               [&] { write_transcript("/dev/null", "m", Json::array()); });
  expect_error(ErrorCode::kIo, {"no/folder"},
               [&] { write_transcript(path("no/folder"), "m", Json::array()); });
}

TEST_F(TranscriptFile, ReadsWhatOthersWrite) {
  const std::string bare = write(
      R"([{"role":"user","content":[{"type":"text","text":"x"}]},
          {"role":"assistant","content":null,"tool_calls":[]},
          {"role":"tool","content":"4"}])");
  EXPECT_EQ(read_transcript(bare).size(), 3u);
}

TEST_F(TranscriptFile, SaysWhatIsWrong) {
  const auto expect_corrupt = [&](std::string_view text, const char* part) {
    const std::string file = write(text);
    expect_error(ErrorCode::kCorrupt, {part}, [&] { read_transcript(file); });
    expect_error(ErrorCode::kCorrupt, {"file.json"}, [&] { read_transcript(file); });
  };
  expect_corrupt("", "file.json");
  expect_corrupt("{", "file.json");
  expect_corrupt("{}", "messages");
  expect_corrupt("7", "list of messages");
  expect_corrupt(R"({"messages":{}})", "list of messages");
  expect_corrupt(R"([{"role":"user","content":"x"}, "y"])", "message 2");
  expect_corrupt(R"([{"content":"x"}])", "no role");
  expect_corrupt(R"([{"role":"bot","content":"x"}])", "'bot'");
  expect_corrupt(R"([{"role":"user"}])", "no content");
  expect_corrupt(R"([{"role":"user","content":null}])", "no content");
  expect_corrupt(R"([{"role":"user","content":7}])", "neither");
  expect_error(ErrorCode::kNotFound, {"missing"}, [&] { read_transcript(path("missing.json")); });
}

}  // namespace
}  // namespace tq
