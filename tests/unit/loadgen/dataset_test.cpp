#include "loadgen/dataset.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;

std::string write(const TempDir& folder, std::string_view text) {
  const auto path = folder / "data";
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

std::vector<std::string> texts(const std::vector<LoadConversation>& conversations) {
  std::vector<std::string> out;
  for (const LoadConversation& conversation : conversations) {
    for (const LoadPrompt& turn : conversation.turns) out.push_back(turn.text);
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(Dataset, ShareGptAndOpenAi) {
  const TempDir folder;
  const std::string path =
      write(folder,
            "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", "
            "\"value\": \"x\"}, {\"from\": \"human\", \"value\": \"b\"}]}\n\n"
            "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
            "\"content\": [{\"type\": \"text\", \"text\": \"c\"}, {\"type\": \"text\", \"text\": "
            "\"d\"}]}]}\r\n{\"prompt\": \"e\"}");
  const std::vector<LoadConversation> read = read_dataset(path, 100, 10);
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(texts(read), (Texts{"a", "b", "cd", "e"}));
  EXPECT_EQ(read[0].turns.size(), 2u);
  EXPECT_EQ(read[1].system, "s");
  EXPECT_EQ(read_dataset(path, 2, 10).size(), 2u);
}

TEST(Dataset, ListOfConversations) {
  const TempDir folder;
  const std::string path = write(folder, R"( [{"prompt": "a"}, {"prompt": "b"}, {"prompt": 1}])");
  EXPECT_EQ(texts(read_dataset(path, 2, 10)), (Texts{"a", "b"}));  // more is not looked at
  expect_error(ErrorCode::kCorrupt, {path, "entry 2", "neither"},
               [&] { read_dataset(path, 3, 10); });
}

TEST(Dataset, TextIsCutAtBlanks) {
  const TempDir folder;
  EXPECT_EQ(texts(read_dataset(write(folder, "  one two\nthree   four five "), 9, 6)),
            (Texts{"one two", "three", "four five"}));
  const std::string long_word(300, 'x');
  EXPECT_EQ(texts(read_dataset(write(folder, long_word), 9, 150)),
            (Texts{long_word.substr(0, 150), long_word.substr(150)}));
  // Characters stay whole, and bytes that are none become U+FFFD.
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
  EXPECT_EQ(texts(read_dataset(write(folder, umlauts), 1, 101)), Texts{umlauts.substr(0, 102)});
  EXPECT_EQ(texts(read_dataset(write(folder, "a\xff"), 1, 10)), Texts{"a\xEF\xBF\xBD"});
}

TEST(Dataset, HostileLinesNameFileAndLine) {
  const TempDir folder;
  for (const char* line :
       {"{", "{\"a\":1}", "{\"messages\":1}", "{\"messages\":[]}", "{\"messages\":[1]}",
        "{\"messages\":[{\"role\":1,\"content\":\"a\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":1}]}",
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
        "{\"conversations\":[{\"from\":\"gpt\",\"value\":\"a\"}]}",
        "{\"conversations\":[{\"from\":\"human\",\"value\":null}]}",
        "{\"prompt\":\"a\"}{\"prompt\":\"b\"}", "{\"prompt\":\"a\",\"prompt\":\"b\"}", "x"}) {
    const std::string path = write(folder, std::string("{\"prompt\":\"a\"}\n") + line);
    expect_error(ErrorCode::kCorrupt, {path + ":2"}, [&] { read_dataset(path, 10, 10); });
  }
  std::string deep = "{\"messages\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  expect_error(ErrorCode::kCorrupt, {":1"}, [&] { read_dataset(write(folder, deep), 10, 10); });
  expect_error(ErrorCode::kCorrupt, {"data"}, [&] { read_dataset(write(folder, ""), 10, 10); });
  expect_error(ErrorCode::kCorrupt, {"data"}, [&] { read_dataset(write(folder, " \n"), 10, 10); });
  expect_error(ErrorCode::kNotFound, {"/nowhere/x"}, [] { read_dataset("/nowhere/x", 1, 1); });
}

}  // namespace
}  // namespace tq
