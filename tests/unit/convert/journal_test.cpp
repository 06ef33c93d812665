// Journals with whole lines, checksums and all, that say what no conversion wrote.
#include "convert/journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <filesystem>

#include "base/error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::TempDir;
using fixtures::write_bytes;
using ::testing::HasSubstr;

std::string journal_line(const std::string& json) {
  return fmt::format("{:016x} {}\n", XXH3_64bits(json.data(), json.size()), json);
}

std::string tensor_line(const std::string& tensor, const std::string& non_finite) {
  return journal_line(fmt::format(R"({{"tensor": {}, "squared_error": 0.5, "squared_norm": 2, )"
                                  R"("non_finite": {}, "hashes": ["00", "11"]}})",
                                  tensor, non_finite));
}

TEST(JournalTest, WhatWasWrittenIsRead) {
  const TempDir dir;
  const FolderHandle work(dir.path());
  write_bytes(dir / kJournalName, journal_line(R"({"option": {}})") + tensor_line("7", "3"));
  const auto journal = Journal::open(work);
  ASSERT_EQ(journal->finished().size(), 1u);
  EXPECT_EQ(journal->finished().at(7).non_finite, 3);
  EXPECT_EQ(journal->finished().at(7).hashes[1], "11");
}

TEST(JournalTest, WhatCouldNotBeReadDoesNotFollowWhatIsWritten) {
  const TempDir dir;
  const FolderHandle work(dir.path());
  const std::string begin = journal_line(R"({"option": {}})");
  FinishedTensor finished;
  finished.tensor = 7;
  write_bytes(dir / kJournalName, begin);
  Journal::open(work)->append({&finished, 1});
  const size_t written = std::filesystem::file_size(dir / kJournalName) - begin.size();

  // As long as the line that will be written over it, and then one that could be read.
  write_bytes(dir / kJournalName, begin + std::string(written, 'x') + tensor_line("8", "0"));
  Journal::open(work)->append({&finished, 1});
  const auto journal = Journal::open(work);
  EXPECT_TRUE(journal->finished().contains(7));
  EXPECT_FALSE(journal->finished().contains(8));
}

TEST(JournalTest, CountsThatAreNoneAreRefused) {
  const TempDir dir;
  const FolderHandle work(dir.path());
  for (const char* number : {"1.5", "-1", "18446744073709551615", "1e300", "\"1\"", "null"}) {
    for (const bool tensor : {true, false}) {
      write_bytes(dir / kJournalName,
                  journal_line(R"({"option": {}})") +
                      (tensor ? tensor_line(number, "0") : tensor_line("0", number)));
      try {
        Journal::open(work);
        ADD_FAILURE() << number;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
        EXPECT_THAT(error.what(), HasSubstr((dir / kJournalName).string()));
        EXPECT_THAT(error.what(), HasSubstr("not a count"));
      }
    }
  }
}

}  // namespace
}  // namespace tq
