#include "cli/chat/input_assembler.h"

#include <gtest/gtest.h>

#include <vector>

namespace tq {
namespace {

// What the lines are together; all but the last must ask for more.
ChatInput together(const std::vector<std::string>& lines) {
  InputAssembler assembler;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    EXPECT_FALSE(assembler.push(lines[i]).has_value()) << lines[i];
    EXPECT_TRUE(assembler.open());
  }
  const auto input = assembler.push(lines.back());
  EXPECT_TRUE(input.has_value()) << lines.back();
  EXPECT_FALSE(assembler.open());
  return input.value_or(ChatInput{});
}

void expect_message(const std::vector<std::string>& lines, std::string_view text) {
  const ChatInput input = together(lines);
  EXPECT_EQ(input.text, text);
  EXPECT_FALSE(input.is_command);
}

void expect_command(const std::vector<std::string>& lines, std::string_view text) {
  const ChatInput input = together(lines);
  EXPECT_EQ(input.text, text);
  EXPECT_TRUE(input.is_command);
}

TEST(InputAssembler, OneLine) {
  expect_message({"hello"}, "hello");
  expect_message({""}, "");
  expect_message({" /not a command"}, " /not a command");
  expect_command({"/help"}, "/help");
}

TEST(InputAssembler, Backslash) {
  expect_message({"one\\", "two \\", "three"}, "one\ntwo \nthree");
  expect_message({"a path C:\\\\"}, "a path C:\\\\");  // two are two
  expect_message({"\\\\\\", "x"}, "\\\\\nx");
  expect_message({"\\", ""}, "\n");
  expect_command({"/system one\\", "two"}, "/system one\ntwo");
  // Only the first line can be a command.
  expect_message({"one\\", "/help"}, "one\n/help");
}

TEST(InputAssembler, Block) {
  expect_message({R"("""one)", "two", R"(three""")"}, "one\ntwo\nthree");
  expect_message({R"(""")", "one", "", "two\\", R"(""")"}, "one\n\ntwo\\");
  expect_message({R"("""all in one"""  )"}, "all in one");
  expect_message({R"("""""")"}, "");
  expect_message({R"(""")", "/help", R"(""")"}, "/help");
  expect_command({R"(/system """one)", R"(two""")"}, "/system one\ntwo");
  expect_command({R"(/set system """)", "one", R"(""")"}, "/set system one");
  // Quotes elsewhere are just quotes.
  expect_message({R"(say """x""")"}, R"(say """x""")");
}

TEST(InputAssembler, PastedTextIsTakenAsItIs) {
  expect_message({"\"\"\"doc\nstring\"\"\"\ndef f(): pass"},
                 "\"\"\"doc\nstring\"\"\"\ndef f(): pass");
  expect_message({"/etc/hosts\n/etc/passwd"}, "/etc/hosts\n/etc/passwd");
}

TEST(InputAssembler, Reset) {
  InputAssembler assembler;
  EXPECT_FALSE(assembler.push(R"("""one)").has_value());
  assembler.reset();
  EXPECT_FALSE(assembler.open());
  EXPECT_EQ(assembler.push("two")->text, "two");
}

}  // namespace
}  // namespace tq
