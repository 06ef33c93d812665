#include "base/folder_handle.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::read_bytes;
using fixtures::TempDir;
using fixtures::write_bytes;
using ::testing::ElementsAre;
using Entry = FolderHandle::Entry;

class FolderHandleTest : public ::testing::Test {
 protected:
  FolderHandleTest() {
    write_bytes(dir_ / "precious", "precious");
    fs::create_directories(dir_ / "folder/below");
    write_bytes(dir_ / "folder/file", "12345");
    fs::create_symlink(dir_ / "precious", dir_ / "folder/link");
    fs::create_directory_symlink(dir_.path(), dir_ / "folder/out");
    EXPECT_EQ(::mkfifo((dir_ / "folder/pipe").c_str(), 0600), 0);
  }
  TempDir dir_;
};

TEST_F(FolderHandleTest, TellsEntriesWithoutFollowingLinks) {
  const FolderHandle folder(dir_ / "folder");
  EXPECT_EQ(folder.entry("file"), Entry::kFile);
  EXPECT_EQ(folder.entry("below"), Entry::kFolder);
  EXPECT_EQ(folder.entry("link"), Entry::kLink);
  EXPECT_EQ(folder.entry("out"), Entry::kLink);
  EXPECT_EQ(folder.entry("pipe"), Entry::kOther);
  EXPECT_EQ(folder.entry("gone"), Entry::kNone);
  EXPECT_THAT(folder.names(), ElementsAre("below", "file", "link", "out", "pipe"));
  EXPECT_EQ(folder.file_size("file"), 5u);
  EXPECT_FALSE(folder.file_size("link"));
  expect_error(ErrorCode::kNotFound, {"gone"}, [&] { FolderHandle(dir_ / "gone"); });
  expect_error(ErrorCode::kIo, {"precious"}, [&] { FolderHandle(dir_ / "precious"); });
}

TEST_F(FolderHandleTest, OpensNothingThroughLinks) {
  const FolderHandle folder(dir_ / "folder");
  EXPECT_EQ(folder.open_folder("below").path(), dir_ / "folder/below");
  expect_error(ErrorCode::kInvalidArgument, {"out", "a link"}, [&] { folder.open_folder("out"); });
  expect_error(ErrorCode::kInvalidArgument, {"file"}, [&] { folder.open_folder("file"); });
  expect_error(ErrorCode::kNotFound, {"gone"}, [&] { folder.open_folder("gone"); });
  EXPECT_EQ(folder.open_file("gone", O_RDWR), -1);
  for (const char* name : {"link", "pipe", "below"}) {
    expect_error(ErrorCode::kInvalidArgument, {name}, [&] { folder.open_file(name, O_RDWR); });
    expect_error(ErrorCode::kInvalidArgument, {name}, [&] { folder.create_file(name); });
    expect_error(ErrorCode::kInvalidArgument, {name}, [&] { folder.remove_file(name); });
  }
  EXPECT_EQ(read_bytes(dir_ / "precious"), "precious");
}

TEST_F(FolderHandleTest, WritesMovesAndRemovesFiles) {
  const FolderHandle folder(dir_ / "folder");
  const FolderHandle below = folder.open_folder("below");
  below.write_file("new", "content");
  below.write_file("new", "again");
  below.move_file("new", folder, "file");
  folder.sync();
  EXPECT_EQ(read_bytes(dir_ / "folder/file"), "again");
  for (const char* name : {"link", "pipe", "out"}) {
    below.write_file("new", "x");
    expect_error(ErrorCode::kInvalidArgument, {name},
                 [&] { below.move_file("new", folder, name); });
  }
  EXPECT_TRUE(fs::is_symlink(dir_ / "folder/link"));
  EXPECT_FALSE(folder.remove_folder("below"));
  below.remove_file("new");
  below.remove_file("new");
  EXPECT_TRUE(folder.remove_folder("below"));
}

// The folder that was opened is meant, whatever its name leads to later.
TEST_F(FolderHandleTest, StaysWhereItWasOpened) {
  const FolderHandle folder(dir_ / "folder");
  fs::rename(dir_ / "folder", dir_ / "moved");
  fs::create_directory(dir_ / "elsewhere");
  fs::create_directory_symlink(dir_ / "elsewhere", dir_ / "folder");
  folder.write_file("new", "x");
  EXPECT_TRUE(fs::exists(dir_ / "moved/new"));
  EXPECT_TRUE(fs::is_empty(dir_ / "elsewhere"));
}

// A name that cannot be looked at is not a name that is free.
TEST_F(FolderHandleTest, WhatCannotBeLookedAtIsAnError) {
  const FolderHandle folder(dir_ / "folder");
  const std::string name(300, 'x');
  expect_error(ErrorCode::kInvalidArgument, {name, "too long"}, [&] { folder.entry(name); });
  expect_error(ErrorCode::kInvalidArgument, {name, "too long"}, [&] { folder.file_size(name); });
}

TEST(MakeFolders, MakesThoseThatAreNotThere) {
  const TempDir dir;
  make_folders(dir / "a/b/c/");
  make_folders(dir / "a/b/c");
  EXPECT_TRUE(fs::is_directory(dir / "a/b/c"));
  write_bytes(dir / "file", "");
  expect_error(ErrorCode::kIo, {"file", "Not a directory"}, [&] { make_folders(dir / "file/a"); });
}

}  // namespace
}  // namespace tq
