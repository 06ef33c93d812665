// Interrupting a conversion at every point and running it again must give the bytes of an
// uninterrupted run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "base/error.h"
#include "convert/convert.h"
#include "convert/destination.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

struct Crash : std::runtime_error {
  Crash() : std::runtime_error("simulated crash") {}
};

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    options_ = quick_options(dir_ / "whole");
    options_.shard_bytes = 30'000;
    options_.hooks.at = [this](std::string_view point) { points_.emplace_back(point); };
    convert_folder(source_, options_);
    expected_ = contents(options_.destination);
    options_.destination = dir_ / "result";
    options_.hooks.at = nullptr;
  }

  // Runs until the n-th point, where it dies as by kill -9.
  void crash_at(size_t n) {
    ConvertOptions options = options_;
    size_t seen = 0;
    options.hooks.at = [&](std::string_view) {
      if (seen++ == n) throw Crash();
    };
    EXPECT_THROW(convert_folder(source_, options), Crash);
  }
  void crash_at(const std::string& point) {
    ConvertOptions options = options_;
    options.hooks.at = [&](std::string_view reached) {
      if (reached == point) throw Crash();
    };
    EXPECT_THROW(convert_folder(source_, options), Crash);
  }
  size_t first(const std::string& point) const {
    const auto at = std::find(points_.begin(), points_.end(), point);
    EXPECT_NE(at, points_.end()) << point;
    return static_cast<size_t>(at - points_.begin());
  }
  fs::path work(const std::string& name) const {
    return options_.destination / kWorkFolderName / name;
  }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  ConvertOptions options_;
  std::vector<std::string> points_;
  std::map<std::string, std::string> expected_;
};

TEST_F(ResumeTest, EveryPointOfInterruption) {
  ASSERT_GE(expected_.size(), 6u);  // several shards
  for (size_t n = 0; n < points_.size(); ++n) {
    crash_at(n);
    EXPECT_TRUE(fs::exists(options_.destination / kWorkFolderName)) << points_[n];
    EXPECT_EQ(fs::exists(options_.destination / "tq_config.json"), points_[n] == "complete");
    const ConvertReport report = convert_folder(source_, options_);
    EXPECT_EQ(contents(options_.destination), expected_) << n << ": " << points_[n];
    EXPECT_EQ(report.resumed > 0, n >= first("journal")) << n << ": " << points_[n];
    fs::remove_all(options_.destination);
  }
}

TEST_F(ResumeTest, CrashAfterCrash) {
  ConvertOptions options = options_;
  int runs = 0;
  for (bool done = false; !done; ++runs) {  // every run gets as far as one journal entry
    size_t seen = 0;
    options.hooks.at = [&](std::string_view point) {
      seen += point == "journal" ? 1 : 0;
      if (seen == 1) throw Crash();
    };
    try {
      convert_folder(source_, options);
      done = true;
    } catch (const Crash&) {
      ASSERT_LT(runs, 100);
    }
  }
  EXPECT_GT(runs, 2);
  EXPECT_EQ(contents(options_.destination), expected_);
}

TEST_F(ResumeTest, OverwriteKeepsTheOldCheckpointUntilTheEnd) {
  const auto format_there = [&] {
    const auto checkpoint = open_checkpoint(options_.destination);
    return checkpoint->find("model.layers.0.mlp.up_proj.weight")->storage;
  };
  for (const char* point : {"commit", "removed", "complete"}) {
    options_.plan.format = "tq3";
    convert_folder(source_, options_);
    options_.plan.format = "tq4";
    options_.overwrite = true;
    crash_at("journal");
    EXPECT_EQ(format_there(), "tq3");
    crash_at(point);
    options_.overwrite = false;  // finishing a commit replaces nothing that is whole
    convert_folder(source_, options_);
    EXPECT_EQ(format_there(), "tq4");
    fs::remove_all(options_.destination);
  }
}

TEST_F(ResumeTest, TornJournalCostsOnlyItsTail) {
  crash_at(first("commit"));
  const std::string journal = read_bytes(work("journal"));
  for (const size_t cut : {size_t{1}, size_t{3}, size_t{200}, journal.size() - 5, journal.size()}) {
    fs::remove_all(options_.destination);
    crash_at(first("commit"));  // before it is acted on
    write_bytes(work("journal"), journal.substr(0, journal.size() - cut) + std::string("\0\0", 2));
    convert_folder(source_, options_);
    EXPECT_EQ(contents(options_.destination), expected_) << cut;
  }
}

// A first line that is no whole one says nothing of what lies beside it: all is made again.
TEST_F(ResumeTest, AJournalTornInItsFirstLineStartsOver) {
  crash_at("commit");
  const std::string journal = read_bytes(work("journal"));
  const size_t line = journal.find('\n');
  for (const size_t n :
       {size_t{0}, size_t{1}, size_t{16}, size_t{17}, size_t{18}, line / 2, line}) {
    for (const size_t zeros : {0, 100}) {
      fs::remove_all(options_.destination);
      crash_at("commit");  // all shards lie in the work folder
      write_bytes(work("journal"), journal.substr(0, n) + std::string(zeros, '\0'));
      EXPECT_EQ(convert_folder(source_, options_).resumed, 0) << n;
      EXPECT_EQ(contents(options_.destination), expected_) << n;
    }
  }
}

TEST_F(ResumeTest, OtherOptionsAreRefusedByName) {
  crash_at(first("journal") + 1);
  options_.plan.format = "tq4";
  const Error error = conversion_error(source_, options_);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("option format: \"tq3\" before, \"tq4\" now"),
                                  HasSubstr("--no-resume")));
  options_.plan.format = "tq3";
  convert_folder(source_, options_);  // the refusal has cost nothing
  EXPECT_EQ(contents(options_.destination), expected_);
}

TEST_F(ResumeTest, ChangedSourceIsRefused) {
  crash_at(first("journal") + 1);
  fs::last_write_time(source_ / "model.safetensors",
                      fs::last_write_time(source_ / "model.safetensors") + std::chrono::hours(1));
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("source model.safetensors"));
}

TEST_F(ResumeTest, NoResumeStartsOver) {
  crash_at(first("commit"));
  options_.plan.format = "tq4";
  options_.resume = false;
  const ConvertReport report = convert_folder(source_, options_);
  EXPECT_EQ(report.resumed, 0);
  EXPECT_EQ(report.format, "tq4");
  EXPECT_FALSE(fs::exists(options_.destination / kWorkFolderName));
}

// Finished work that is gone, cut short, zeroed or changed by one bit is made again.
TEST_F(ResumeTest, DamagedWorkIsNotBelieved) {
  const auto remove = [](const fs::path& path) { fs::remove(path); };
  const auto truncate = [](const fs::path& path) { fs::resize_file(path, 100); };
  const auto zero = [](const fs::path& path) {
    write_bytes(path, std::string(fs::file_size(path), '\0'));
  };
  const auto flip = [](const fs::path& path) {
    std::string bytes = read_bytes(path);
    bytes.back() ^= 1;
    write_bytes(path, bytes);
  };
  for (const std::function<void(const fs::path&)>& damage :
       std::vector<std::function<void(const fs::path&)>>{remove, truncate, zero, flip}) {
    crash_at(first("side files") - 1);  // all shards are finished
    int damaged = 0;
    for (const auto& [name, bytes] : expected_) {
      if (!fs::exists(work(name))) continue;
      damage(work(name));
      ++damaged;
    }
    ASSERT_GE(damaged, 2);
    convert_folder(source_, options_);
    EXPECT_EQ(contents(options_.destination), expected_);
    fs::remove_all(options_.destination);
  }
}

// In place already: nothing can be made again under a commit that was begun.
TEST_F(ResumeTest, DamageDuringACommitIsAnError) {
  crash_at("commit");
  fs::resize_file(work("model-00001-of-00002.safetensors"), 100);
  const Error error = conversion_error(source_, options_);
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("--no-resume"));
  options_.resume = false;
  convert_folder(source_, options_);
  EXPECT_EQ(contents(options_.destination), expected_);
}

TEST_F(ResumeTest, AnotherSourceOfTheSameSizeAndTimeIsRefused) {
  crash_at(first("journal") + 1);
  const fs::path file = source_ / "model.safetensors";
  const auto time = fs::last_write_time(file);
  std::string bytes = read_bytes(file);
  bytes[bytes.size() / 2] ^= 1;
  write_bytes(file, bytes);
  fs::last_write_time(file, time);
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("source model.safetensors"));
}

TEST_F(ResumeTest, OptionsAndSmallFilesArePartOfTheIdentity) {
  crash_at(first("journal") + 1);
  options_.allow_nan = true;
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("option allow_nan"));
  options_.allow_nan = false;
  write_bytes(source_ / "tokenizer.json", R"({"model": {"type": "WordPiece"}})");
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("source tokenizer.json"));
}

TEST_F(ResumeTest, ASourceThatChangesMeanwhileIsNoticed) {
  ConvertOptions options = options_;
  options.hooks.at = [&](std::string_view point) {
    if (point != "journal") return;
    std::string bytes = read_bytes(source_ / "model.safetensors");
    bytes.back() ^= 1;
    write_bytes(source_ / "model.safetensors", bytes);
  };
  const Error error = conversion_error(source_, options);
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("changed while it was converted"));
  EXPECT_FALSE(fs::exists(options_.destination));
}

// Reading the mapping would end the process by a signal.
TEST_F(ResumeTest, ASourceThatIsCutShortIsAnError) {
  const auto source = open_checkpoint(source_);
  const uint64_t size = fs::file_size(source_ / "model.safetensors");
  fs::resize_file(source_ / "model.safetensors", size / 8);
  try {
    convert(*source, options_);
    ADD_FAILURE() << "converted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.what(), HasSubstr("model.safetensors"));
  }
  EXPECT_FALSE(fs::exists(options_.destination));
}

TEST_F(ResumeTest, ACommitIsFinishedWithoutTheSource) {
  EXPECT_FALSE(finish_conversion(options_.destination));
  crash_at(first("journal") + 1);
  EXPECT_FALSE(finish_conversion(options_.destination));  // there is more to do
  for (const char* point : {"commit", "removed", "complete"}) {
    crash_at(point);
    EXPECT_TRUE(finish_conversion(options_.destination)) << point;
    EXPECT_EQ(contents(options_.destination), expected_) << point;
    EXPECT_FALSE(fs::exists(options_.destination / kWorkFolderName));
    EXPECT_FALSE(finish_conversion(options_.destination));
    fs::remove_all(options_.destination);
  }
}

// The old checkpoint's files have the names of the new one's.
TEST_F(ResumeTest, ACommitThatOverwritesIsFinishedWithoutTheSource) {
  options_.overwrite = true;
  for (const char* point : {"commit", "removed", "complete"}) {
    options_.plan.format = "tq4";
    convert_folder(source_, options_);
    options_.plan.format = "tq3";
    crash_at(point);
    fs::rename(source_, dir_ / "away");
    EXPECT_TRUE(finish_conversion(options_.destination)) << point;
    EXPECT_EQ(contents(options_.destination), expected_) << point;
    fs::rename(dir_ / "away", source_);
  }
}

// What is left of the old checkpoint must not look complete at any time.
TEST_F(ResumeTest, OverwritingRemovesTheDescriptionFirst) {
  options_.plan.format = "tq4";
  convert_folder(source_, options_);
  options_.plan.format = "tq3";
  options_.overwrite = true;
  crash_at("removed");
  EXPECT_FALSE(fs::exists(options_.destination / "tq_config.json"));
  convert_folder(source_, options_);
  EXPECT_EQ(contents(options_.destination), expected_);
}

TEST_F(ResumeTest, AnEmptyWorkFolderIsNothing) {
  convert_folder(source_, options_);
  fs::create_directory(options_.destination / kWorkFolderName);  // killed before it was removed
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("--overwrite"));
  options_.overwrite = true;
  convert_folder(source_, options_);
  EXPECT_EQ(contents(options_.destination), expected_);
  EXPECT_FALSE(fs::exists(options_.destination / kWorkFolderName));
}

TEST_F(ResumeTest, CancelKeepsWhatIsFinished) {
  bool cancel = false;
  options_.cancelled = [&] { return cancel; };
  options_.shard_bytes = 1'000'000;
  ConvertOptions options = options_;
  int tensors = 0;
  options.hooks.at = [&](std::string_view point) {
    if (point == "tensor" && ++tensors == 3) cancel = true;
  };
  const Error error = conversion_error(source_, options);
  EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  EXPECT_THAT(error.what(), HasSubstr("the same command resumes"));
  EXPECT_FALSE(fs::exists(options_.destination / "tq_config.json"));
  cancel = false;
  EXPECT_EQ(convert_folder(source_, options_).resumed, 3);
}

TEST_F(ResumeTest, CancelBeforeAnythingIsFinishedLeavesNothing) {
  options_.cancelled = [] { return true; };
  EXPECT_EQ(conversion_error(source_, options_).code(), ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(options_.destination));
}

TEST_F(ResumeTest, OneConversionAtATime) {
  ConvertOptions options = options_;
  bool tried = false;
  options.hooks.at = [&](std::string_view) {
    if (std::exchange(tried, true)) return;
    const Error error = conversion_error(source_, options_);
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.what(), HasSubstr("another conversion"));
  };
  convert_folder(source_, options);
  EXPECT_TRUE(tried);
  EXPECT_EQ(contents(options_.destination), expected_);
}

TEST_F(ResumeTest, ResumingNeedsOnlyTheRestOfTheSpace) {
  crash_at(first("commit") - 1);
  // Everything but the slack and the side files is written already.
  options_.hooks.free_bytes = [](const fs::path&) { return (uint64_t{1} << 20) + 20'000; };
  EXPECT_NO_THROW(convert_folder(source_, options_));
}

}  // namespace
}  // namespace tq
