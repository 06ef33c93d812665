#include "cli/line_history.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace tq {
namespace {

std::vector<std::string> lines_of(const LineHistory& past) {
  std::vector<std::string> lines;
  HistEvent event;
  for (int found = history(past.handle(), &event, H_LAST); found == 0;
       found = history(past.handle(), &event, H_PREV)) {
    lines.emplace_back(event.str);
  }
  return lines;
}

TEST(LineHistory, EscapesAreDecoded) {
  EXPECT_EQ(decode_history_line(R"(two\040words)"), "two words");
  EXPECT_EQ(decode_history_line(R"(a\\040b)"), R"(a\040b)");
  EXPECT_EQ(decode_history_line(R"(a\^Jb\^?)"), "a\nb\x7f");
  EXPECT_EQ(decode_history_line(R"(\M-C\M-$)"), "ä");
  EXPECT_EQ(decode_history_line(R"(\M-B\M^@)"), "\u0080");
  EXPECT_EQ(decode_history_line("ä"), "ä");
}

// What libedit's own reader took beyond its memory, or to a text that ends the process when shown.
TEST(LineHistory, MalformedLinesAreNone) {
  for (const char* line :
       {"\\", "\\x", "\\\xa3", "\\400", "\\04", "\\000", "\\^", "\\M", "\\M-", "a\xff", "\\M-C"}) {
    EXPECT_FALSE(decode_history_line(line)) << line;
  }
}

TEST(LineHistory, WhatIsWrittenIsRead) {
  const fixtures::TempDir folder;
  const std::string file = (folder / "history").string();
  const std::vector<std::string> typed = {"plain",           "two words",          "tab\there",
                                          "two\nlines",      R"(back\slash \040)", "grüße 日本 👍",
                                          "control \x01\x7f"};
  {
    LineHistory past(file);
    for (const std::string& line : typed) past.remember(line);
  }
  EXPECT_EQ(lines_of(LineHistory(file)), typed);
}

TEST(LineHistory, HostileFilesCostTheirBadLinesOnly) {
  const fixtures::TempDir folder;
  const std::string file = (folder / "history").string();
  std::ofstream(file) << "_HiStOrY_V2_\nfirst\n\\\\x\\\xa3\xa3" << std::string(3000, '\xa3')
                      << "9\\0777\n\n\xff\nlast\\040one";
  EXPECT_EQ(lines_of(LineHistory(file)), (std::vector<std::string>{"first", "last one"}));
  std::ofstream(file) << "another file\n";
  EXPECT_TRUE(lines_of(LineHistory(file)).empty());
}

}  // namespace
}  // namespace tq
