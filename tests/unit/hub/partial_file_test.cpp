#include "hub/partial_file.h"

#include <gtest/gtest.h>

#include "hub/digest.h"
#include "hub/file_lock.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;
using fixtures::write_bytes;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(PartialFile, GoesOnWithWhatWasSaved) {
  const TempDir dir;
  const fs::path place = dir / "abc";
  {
    PartialFile file(place, 10);
    file.write(6, bytes_of("6789"));
    file.save(/*durable=*/false);
    file.write(0, bytes_of("01"));  // not saved: a crash
  }
  PartialFile file(place, 10);
  EXPECT_EQ(file.there().ranges(), (std::vector<FileRange>{{6, 10}}));
  EXPECT_FALSE(fs::exists(place));
  file.write(0, bytes_of("012345"));
  EXPECT_TRUE(file.whole());
  file.publish();
  EXPECT_EQ(read_text_file(place), "0123456789");
  EXPECT_FALSE(fs::exists(partial_data(place)) || fs::exists(partial_journal(place)));
}

TEST(PartialFile, SavesAreOfTheLastState) {
  const TempDir dir;
  const fs::path place = dir / "abc";
  PartialFile file(place, 10);
  for (const bool durable : {false, true, false}) {
    file.write(file.there().total(), bytes_of("xy"));
    file.save(durable);
    file.save(!durable);
    EXPECT_EQ(PartialFile(place, 10).there().total(), file.there().total());
  }
}

TEST(PartialFile, BeginsAnewWhereTheStateIsNotKnown) {
  const TempDir dir;
  const fs::path place = dir / "abc";
  for (const char* journal :
       {"", "{", "[]", R"({"size":9,"ranges":[[0,4]]})", R"({"size":10,"ranges":[[0,5]]})",
        R"({"size":10,"ranges":[[-1,2]]})", R"({"size":10,"ranges":[[0]]})",
        R"({"size":10,"ranges":[[0,1e9]]})", R"({"size":10,"ranges":[["a",2]]})"}) {
    write_bytes(partial_data(place), "0123");
    write_bytes(partial_journal(place), journal);
    EXPECT_EQ(PartialFile(place, 10).there().total(), 0) << journal;
  }
  write_bytes(partial_data(place), "0123");
  write_bytes(partial_journal(place), R"({"size":10,"ranges":[[0,4]]})");
  PartialFile file(place, 10);
  EXPECT_EQ(file.there().prefix(), 4);
  file.restart();
  EXPECT_EQ(file.there().total(), 0);
  EXPECT_EQ(PartialFile(place, 10).there().total(), 0);
}

// What no journal speaks of would not be hashed.
TEST(PartialFile, BytesOfALongerFileGo) {
  const TempDir dir;
  const fs::path place = dir / "abc";
  const std::string longer(15, 'E');
  for (const char* journal : {"", R"({"size":15,"ranges":[[0,15]]})"}) {
    write_bytes(partial_data(place), longer);
    write_bytes(partial_journal(place), journal);
    EXPECT_EQ(PartialFile(place, 10).there().total(), 0);
    EXPECT_EQ(fs::file_size(partial_data(place)), 0U) << journal;
  }
  write_bytes(partial_data(place), longer);
  write_bytes(partial_journal(place), R"({"size":10,"ranges":[[0,10]]})");
  PartialFile file(place, 10);
  EXPECT_TRUE(file.whole());
  EXPECT_EQ(fs::file_size(partial_data(place)), 10U);
  write_bytes(partial_data(place), longer);  // by somebody else
  expect_error(ErrorCode::kIo, {"15 bytes, not 10"}, [&] { file.publish(); });
  EXPECT_FALSE(fs::exists(place));
}

TEST(PartialFile, FollowsNoLink) {
  const TempDir dir;
  write_bytes(dir / "other", "x");
  fs::create_symlink(dir / "other", partial_data(dir / "abc"));
  EXPECT_THROW(PartialFile(dir / "abc", 10), Error);
}

TEST(FileLock, OneAtATime) {
  const TempDir dir;
  auto lock = FileLock::try_take(dir / "a/b.lock");
  ASSERT_TRUE(lock);
  EXPECT_FALSE(FileLock::try_take(dir / "a/b.lock"));
  lock.reset();
  EXPECT_TRUE(FileLock::try_take(dir / "a/b.lock"));
}

TEST(FileLock, SomeAreShared) {
  const TempDir dir;
  const fs::path path = dir / "tq.lock";
  auto one = FileLock::try_take(path, FileLock::Kind::kShared);
  auto two = FileLock::try_take(path, FileLock::Kind::kShared);
  ASSERT_TRUE(one && two);
  one.reset();
  EXPECT_FALSE(FileLock::try_take(path));
  two.reset();
  one = FileLock::try_take(path);
  EXPECT_TRUE(one);
  EXPECT_FALSE(FileLock::try_take(path, FileLock::Kind::kShared));
}

// Whether this build has hashes (TQ_HUB).
bool has_digests() {
  try {
    const Digest digest(DigestKind::kSha256, 0);
    return true;
  } catch (const Error& error) {
    return error.code() != ErrorCode::kUnsupported;
  }
}

// FIPS 180-2's examples, and what `git hash-object` says.
TEST(Digest, KnownValues) {
  if (!has_digests()) GTEST_SKIP() << "built without OpenSSL";
  const auto digest = [](DigestKind kind, std::string_view text) {
    Digest one(kind, static_cast<int64_t>(text.size()));
    one.add(bytes_of(text.substr(0, text.size() / 2)));
    one.add(bytes_of(text.substr(text.size() / 2)));
    return one.finish();
  };
  EXPECT_EQ(digest(DigestKind::kSha256, "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest(DigestKind::kSha256, ""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest(DigestKind::kGitBlob, ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(digest(DigestKind::kGitBlob, "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST(FileDigest, FollowsAFileThatGrows) {
  if (!has_digests()) GTEST_SKIP() << "built without OpenSSL";
  const TempDir dir;
  PartialFile file(dir / "abc", 3'000'000);
  const std::string text(3'000'000, 'x');
  Digest whole(DigestKind::kSha256, 3'000'000);
  whole.add(bytes_of(text));
  FileDigest digest(DigestKind::kSha256, 3'000'000, file.fd());
  for (int64_t at = 0; at < 3'000'000; at += 100'000) {
    file.write(at, bytes_of(std::string_view(text).substr(0, 100'000)));
    digest.advance(file.there().prefix());
  }
  EXPECT_EQ(digest.result(), whole.finish());
  EXPECT_TRUE(digest.done());
  PartialFile shorter(dir / "y", 3);
  FileDigest cut(DigestKind::kSha256, 3, shorter.fd());
  cut.advance(3);  // which nobody wrote
  expect_error(ErrorCode::kIo, {"another program cut the file"}, [&] { cut.result(); });
  const FileDigest left(DigestKind::kSha256, 3'000'000, file.fd());  // waits for no byte any more
}

}  // namespace
}  // namespace tq
