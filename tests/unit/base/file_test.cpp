#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::read_bytes;
using fixtures::TempDir;
using fixtures::write_bytes;

std::string text(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }
std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
size_t files_in(const TempDir& dir) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

TEST(MappedFile, ShowsTheFile) {
  const TempDir dir;
  write_bytes(dir / "a", "hello");
  const MappedFile file(dir / "a");
  EXPECT_EQ(text(file.bytes()), "hello");
  EXPECT_EQ(file.path(), dir / "a");
}

TEST(MappedFile, EmptyFilesAreEmptySpans) {
  const TempDir dir;
  write_bytes(dir / "a", "");
  const MappedFile file(dir / "a");
  EXPECT_TRUE(file.bytes().empty());
  file.drop(0, 10);
  file.prefetch(0, 10);
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNotThereOrNoFile) {
  const TempDir dir;
  write_bytes(dir / "a", "x");
  expect_error(ErrorCode::kNotFound, {(dir / "missing").string()},
               [&] { MappedFile file(dir / "missing"); });
  expect_error(ErrorCode::kNotFound, {"a/b"}, [&] { MappedFile file(dir / "a/b"); });
  expect_error(ErrorCode::kInvalidArgument, {"not a regular file"},
               [&] { MappedFile file(dir.path()); });
  expect_error(ErrorCode::kInvalidArgument, {"/dev/null"}, [] { MappedFile file("/dev/null"); });
  // A pipe that nobody writes to must not block.
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  expect_error(ErrorCode::kInvalidArgument, {"pipe"}, [&] { MappedFile file(dir / "pipe"); });
}

TEST(MappedFile, Moves) {
  const TempDir dir;
  write_bytes(dir / "a", "first");
  write_bytes(dir / "b", "second");
  MappedFile a(dir / "a");
  MappedFile moved(std::move(a));
  EXPECT_EQ(text(moved.bytes()), "first");
  moved = MappedFile(dir / "b");
  EXPECT_EQ(text(moved.bytes()), "second");
  EXPECT_EQ(moved.path(), dir / "b");
}

TEST(MappedFile, CopiesParts) {
  const TempDir dir;
  write_bytes(dir / "a", "hello world");
  MappedFile file(dir / "a");
  std::vector<uint8_t> out(5);
  file.read_at(6, out);
  EXPECT_EQ(text(out), "world");
  file.read_at(11, {});
  const MappedFile moved = std::move(file);
  moved.read_at(0, out);
  EXPECT_EQ(text(out), "hello");
  fs::resize_file(dir / "a", 8);
  expect_error(ErrorCode::kCorrupt, {(dir / "a").string(), "8"}, [&] { moved.read_at(6, out); });
}

TEST(MappedFile, AdviceKeepsTheContent) {
  const TempDir dir;
  const std::string content(3 * 4096 + 100, 'q');
  write_bytes(dir / "a", content);
  const MappedFile file(dir / "a");
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  for (const auto& [offset, size] :
       {std::pair<size_t, size_t>{0, 4096}, {1, 9000}, {5, 0}, {100, kMax}, {kMax, kMax}}) {
    file.prefetch(offset, size);
    file.drop(offset, size);
  }
  EXPECT_EQ(text(file.bytes()), content);
}

TEST(ReadTextFile, ReadsUpToItsLimit) {
  const TempDir dir;
  write_bytes(dir / "a", "12345");
  EXPECT_EQ(read_text_file(dir / "a"), "12345");
  EXPECT_EQ(read_text_file(dir / "a", 5), "12345");
  expect_error(ErrorCode::kCorrupt, {"5 bytes", "4"}, [&] { read_text_file(dir / "a", 4); });
  expect_error(ErrorCode::kNotFound, {"missing"}, [&] { read_text_file(dir / "missing"); });
}

TEST(WriteFileAtomic, ReplacesAndLeavesNoTemporary) {
  const TempDir dir;
  write_file_atomic(dir / "a", "one");
  write_file_atomic(dir / "a", "second content");
  EXPECT_EQ(read_bytes(dir / "a"), "second content");
  write_file_atomic(dir / "a", "");
  EXPECT_EQ(read_bytes(dir / "a"), "");
  EXPECT_EQ(files_in(dir), 1u);
}

TEST(WriteFileAtomic, FailuresKeepWhatWasThere) {
  const TempDir dir;
  fs::create_directory(dir / "folder");
  write_bytes(dir / "folder/inside", "kept");
  // A file cannot replace a folder.
  expect_error(ErrorCode::kInvalidArgument, {"folder"},
               [&] { write_file_atomic(dir / "folder", "x"); });
  EXPECT_EQ(read_bytes(dir / "folder/inside"), "kept");
  EXPECT_EQ(files_in(dir), 1u) << "the temporary file is gone";
  expect_error(ErrorCode::kIo, {"nowhere"}, [&] { write_file_atomic(dir / "nowhere/a", "x"); });
}

TEST(WriteFileAtomic, PlantedLinksLeadNowhere) {
  const TempDir dir;
  write_bytes(dir / "precious", "precious");
  fs::create_symlink(dir / "precious", dir / "a.tmp");
  write_file_atomic(dir / "a", "x");
  EXPECT_EQ(read_bytes(dir / "precious"), "precious");
  // A link that the user names is followed, and stays a link.
  fs::create_symlink(dir / "a", dir / "link");
  write_file_atomic(dir / "link", "through");
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(read_bytes(dir / "a"), "through");
  fs::create_symlink("nowhere", dir / "dangling");
  expect_error(ErrorCode::kInvalidArgument, {"dangling", "link to nothing"},
               [&] { write_file_atomic(dir / "dangling", "x"); });
  EXPECT_FALSE(fs::exists(dir / "nowhere"));
}

TEST(WriteFileAtomic, DevicesAndPipesAreWrittenTo) {
  const TempDir dir;
  write_file_atomic("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  const int reader = ::open((dir / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  write_file_atomic(dir / "pipe", "content");
  char text[16];
  EXPECT_EQ(::read(reader, text, sizeof(text)), 7);
  ::close(reader);
  EXPECT_TRUE(fs::is_fifo(dir / "pipe"));
}

TEST(Errors, SystemErrorsHaveTheirCodes) {
  const TempDir dir;
  expect_error(ErrorCode::kInvalidArgument, {"too long"},
               [&] { write_file_atomic(dir / std::string(300, 'a'), "x"); });
  expect_error(ErrorCode::kOutOfMemory, {"x"}, [] { fail_errno(ENOMEM, "x"); });
  expect_error(ErrorCode::kNoSpace, {"x"}, [] { fail_errno(ENOSPC, "x"); });
}

TEST(ReadTextFile, SaysWhereADanglingLinkLeads) {
  const TempDir dir;
  fs::create_symlink("../blobs/0123", dir / "a");
  expect_error(ErrorCode::kNotFound, {(dir / "a").string(), "../blobs/0123", "does not exist"},
               [&] { read_text_file(dir / "a"); });
}

OutputFile output_file(const fs::path& path) {
  return {::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644), path};
}

TEST(OutputFile, WritesAtOffsets) {
  const TempDir dir;
  {
    OutputFile file = output_file(dir / "a");
    file.write_at(3, bytes("def"));
    file.write_at(0, bytes("abc"));
    file.write_at(0, {});
    file.sync();
    OutputFile moved(std::move(file));
    moved.write_at(6, bytes("ghi"));
    EXPECT_EQ(moved.path(), dir / "a");
  }
  EXPECT_EQ(read_bytes(dir / "a"), "abcdefghi");
}

TEST(OutputFile, AllocatesAndTruncates) {
  const TempDir dir;
  OutputFile file = output_file(dir / "a");
  file.allocate(0);
  file.write_at(0, bytes("abc"));
  file.allocate(1000);
  EXPECT_EQ(fs::file_size(dir / "a"), 1000u);
  EXPECT_EQ(read_bytes(dir / "a").substr(0, 3), "abc");
  file.truncate(2);
  EXPECT_EQ(read_bytes(dir / "a"), "ab");
}

TEST(OutputFile, NamesWhatItCannotWrite) {
  expect_error(ErrorCode::kNoSpace, {"/dev/full"},
               [] { output_file("/dev/full").write_at(0, bytes("x")); });
}

TEST(IsFile, TellsWhatThereIs) {
  const TempDir dir;
  write_bytes(dir / "file", "");
  fs::create_symlink("nothing", dir / "dangling");
  EXPECT_TRUE(is_file(dir / "file") && is_there(dir / "file") && !is_folder(dir / "file"));
  EXPECT_TRUE(is_folder(dir.path()) && is_there(dir.path()) && !is_file(dir.path()));
  for (const char* name : {"none", "dangling", "file/below"}) {
    EXPECT_FALSE(is_file(dir / name) || is_folder(dir / name) || is_there(dir / name)) << name;
  }
}

TEST(IsFile, WhatCannotBeLookedAtIsAnError) {
  const TempDir dir;
  fs::create_symlink("loop", dir / "loop");
  expect_error(ErrorCode::kIo, {"loop"}, [&] { is_file(dir / "loop"); });
  const std::string name(300, 'x');
  expect_error(ErrorCode::kInvalidArgument, {name, "too long"}, [&] { is_there(dir / name); });
}

TEST(RenameDurable, MovesAndReplaces) {
  const TempDir dir;
  write_bytes(dir / "a", "new");
  write_bytes(dir / "b", "old");
  rename_durable(dir / "a", dir / "b");
  EXPECT_EQ(read_bytes(dir / "b"), "new");
  EXPECT_FALSE(fs::exists(dir / "a"));
  expect_error(ErrorCode::kIo, {"a", "b"}, [&] { rename_durable(dir / "a", dir / "b"); });
  EXPECT_EQ(read_bytes(dir / "b"), "new");
}

}  // namespace
}  // namespace tq
