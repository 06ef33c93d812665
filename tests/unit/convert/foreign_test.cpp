// What is not the conversion's own, in the source's folder or the destination's, is not touched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "convert/convert.h"
#include "convert/destination.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

class ForeignTest : public ::testing::Test {
 protected:
  ForeignTest() {
    options_ = quick_options(dir_ / "result");
    fs::create_directory(dir_ / "precious");
    write_bytes(dir_ / "precious/thesis", "precious");
  }
  void expect_refused(std::initializer_list<std::string> parts) {
    const Error error = conversion_error(source_, options_);
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    EXPECT_EQ(read_bytes(dir_ / "precious/thesis"), "precious");
  }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  ConvertOptions options_;
};

TEST_F(ForeignTest, AWorkFolderThatIsALink) {
  fs::create_directory(options_.destination);
  fs::create_directory_symlink(dir_ / "precious", options_.destination / kWorkFolderName);
  for (const bool resume : {true, false}) {
    options_.resume = resume;
    expect_refused({kWorkFolderName, "a link"});
  }
}

TEST_F(ForeignTest, AnEmptyWorkFolderMakesNothingOurs) {
  fs::create_directories(options_.destination / kWorkFolderName);
  write_bytes(options_.destination / "model-mine.safetensors", "mine");
  expect_refused({"model-mine.safetensors"});
  EXPECT_EQ(read_bytes(options_.destination / "model-mine.safetensors"), "mine");
}

TEST_F(ForeignTest, AWorkFolderOfOthersIsLeftAsItIs) {
  const fs::path work = options_.destination / kWorkFolderName;
  fs::create_directories(work);
  for (const char* name : {"notes", "journal"}) {
    write_bytes(work / name, "mine");
    for (const bool resume : {true, false}) {
      options_.resume = resume;
      expect_refused({(work / name).string(), "remove it"});
    }
    EXPECT_EQ(read_bytes(work / name), "mine");
    fs::remove(work / name);
  }
  convert_folder(source_, options_);
}

TEST_F(ForeignTest, FoldersOfTheResultToo) {
  fs::create_directory(source_ / "additional_chat_templates");
  write_bytes(source_ / "additional_chat_templates/tool.jinja", "of a tool");
  const fs::path inner = options_.destination / "additional_chat_templates";
  convert_folder(source_, options_);
  EXPECT_EQ(read_bytes(inner / "tool.jinja"), "of a tool");
  write_bytes(inner / "mine", "mine");
  fs::remove_all(source_ / "additional_chat_templates");
  options_.overwrite = true;
  convert_folder(source_, options_);
  EXPECT_FALSE(fs::exists(inner / "tool.jinja"));
  EXPECT_EQ(read_bytes(inner / "mine"), "mine");

  fs::create_directory(source_ / "additional_chat_templates");
  write_bytes(source_ / "additional_chat_templates/thesis", "");
  write_bytes(source_ / "additional_chat_templates/tool.jinja", "of a tool");
  fs::remove_all(inner);
  fs::create_directory_symlink(dir_ / "precious", inner);
  expect_refused({inner.string(), "a link"});
  EXPECT_FALSE(fs::exists(dir_ / "precious/tool.jinja"));
}

TEST_F(ForeignTest, OverwritingRemovesOnlyWhatIsOurs) {
  convert_folder(source_, options_);
  write_bytes(options_.destination / "model-mine.safetensors", "mine");
  options_.shard_bytes = 30'000;
  options_.overwrite = true;
  convert_folder(source_, options_);
  EXPECT_EQ(read_bytes(options_.destination / "model-mine.safetensors"), "mine");
  EXPECT_FALSE(fs::exists(options_.destination / "model.safetensors"));  // of the old one
  EXPECT_TRUE(fs::exists(options_.destination / "model-00001-of-00002.safetensors"));
}

TEST_F(ForeignTest, LinksInPlaceOfOurFilesAreNotFollowed) {
  convert_folder(source_, options_);
  fs::remove(options_.destination / "config.json");
  fs::create_symlink(dir_ / "precious/thesis", options_.destination / "config.json");
  options_.overwrite = true;
  options_.plan.format = "tq4";
  const Error error = conversion_error(source_, options_);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("config.json"), HasSubstr("a link")));
  EXPECT_EQ(read_bytes(dir_ / "precious/thesis"), "precious");
  fs::remove(options_.destination / "config.json");
  convert_folder(source_, options_);  // goes on
  EXPECT_TRUE(fs::is_regular_file(options_.destination / "config.json"));
}

TEST_F(ForeignTest, LinksPlantedInTheWorkFolderAreNotFollowed) {
  ConvertOptions options = options_;
  options.shard_bytes = 30'000;
  options.hooks.at = [&](std::string_view point) {
    if (point != "tensor") return;
    const fs::path planted =
        options_.destination / kWorkFolderName / std::string("model-00002-of-00002.safetensors");
    if (!fs::exists(planted)) fs::create_symlink(dir_ / "precious/thesis", planted);
  };
  const Error error = conversion_error(source_, options);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("a link"));
  EXPECT_EQ(read_bytes(dir_ / "precious/thesis"), "precious");
}

TEST_F(ForeignTest, ADestinationThatIsALinkToAFolderIsThatFolder) {
  fs::create_directory(dir_ / "disk");
  fs::create_directory_symlink(dir_ / "disk", options_.destination);
  convert_folder(source_, options_);
  EXPECT_TRUE(fs::exists(dir_ / "disk/tq_config.json"));
  options_.destination = dir_ / "nowhere";
  fs::create_directory_symlink(dir_ / "gone", options_.destination);
  expect_refused({"link to nothing"});
}

TEST_F(ForeignTest, SmallFilesFromElsewhereAreNotCopied) {
  fs::create_symlink(dir_ / "precious/thesis", source_ / "LICENSE");
  expect_refused({"LICENSE", "link out of the folder", "thesis"});
  EXPECT_FALSE(fs::exists(options_.destination));
  fs::remove(source_ / "LICENSE");
  fs::rename(source_ / "config.json", dir_ / "precious/config.json");
  fs::create_symlink(dir_ / "precious/config.json", source_ / "config.json");
  expect_refused({"config.json", "link out of the folder"});
  fs::remove(source_ / "config.json");
  fs::rename(dir_ / "precious/config.json", source_ / "config.json");
  fs::rename(source_, dir_ / "precious/source");
  fs::create_directory(source_);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::rename(dir_ / "precious/source" / std::string(name), source_ / name);
  }
  fs::create_directory_symlink(dir_ / "precious", source_ / "additional_chat_templates");
  write_bytes(dir_ / "precious/letter.jinja", "private");
  expect_refused({"letter.jinja", "link out of the folder"});
  fs::remove(source_ / "additional_chat_templates");
  fs::create_directory(source_ / "legal");
  write_bytes(source_ / "legal/text", "free");
  fs::create_symlink("legal/text", source_ / "LICENSE");
  convert_folder(source_, options_);
  EXPECT_EQ(read_bytes(options_.destination / "LICENSE"), "free");
}

TEST_F(ForeignTest, TheHubsCacheMayLinkToItsBlobs) {
  const fs::path repository = dir_ / "hub/models--org--name";
  fs::create_directories(repository / "blobs");
  fs::create_directories(repository / "snapshots");
  fs::rename(source_, repository / "snapshots/0f00");
  const fs::path snapshot = repository / "snapshots/0f00";
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    fs::rename(snapshot / name, repository / "blobs" / name);
    fs::create_symlink(fs::path("../../blobs") / name, snapshot / name);
  }
  convert_folder(snapshot, options_);
  EXPECT_EQ(read_bytes(options_.destination / "tokenizer.json"),
            read_bytes(repository / "blobs/tokenizer.json"));
  fs::create_symlink(dir_ / "precious/thesis", snapshot / "NOTICE");
  source_ = snapshot;
  options_.overwrite = true;
  expect_refused({"NOTICE"});
}

}  // namespace
}  // namespace tq
