#include "hub/listing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;

const std::string kCommit(40, 'c');
const std::string kSha1(40, '1');
const std::string kSha256(64, '2');

std::string listing(const std::string& siblings) {
  return fmt::format(R"({{"id":"a/b","sha":"{}","siblings":[{}]}})", kCommit, siblings);
}

TEST(Listing, FilesOfGitAndOfLfs) {
  const Listing found = parse_listing(
      listing(fmt::format(
          R"({{"rfilename":"z.safetensors","size":9,"blobId":"{}","lfs":{{"sha256":"{}","size":7}}}},)"
          R"({{"rfilename":"config.json","size":5,"blobId":"{}","new":[1]}})",
          kSha1, kSha256, kSha1)),
      "a/b");
  EXPECT_EQ(found.commit, kCommit);
  ASSERT_EQ(found.files.size(), 2U);
  EXPECT_EQ(found.files[0].path, "config.json");
  EXPECT_EQ(found.files[0].hash, kSha1);
  EXPECT_EQ(found.files[0].size, 5);
  EXPECT_FALSE(found.files[0].is_sha256());
  EXPECT_EQ(found.files[1].hash, kSha256);
  EXPECT_EQ(found.files[1].size, 7);  // of the content, not of git's pointer to it
  EXPECT_TRUE(found.files[1].is_sha256());
  EXPECT_TRUE(parse_listing(listing(""), "a/b").files.empty());
}

TEST(Listing, WhatCannotBeChecked) {
  const auto refused = [](const std::string& entry, const char* part) {
    expect_error(ErrorCode::kCorrupt, {"a/b", part}, [&] { parse_listing(listing(entry), "a/b"); });
  };
  refused("1", "no path");
  refused(R"({"rfilename":5})", "no path");
  refused(R"({"rfilename":"x"})", "no size or no hash of x");
  refused(fmt::format(R"({{"rfilename":"x","size":-1,"blobId":"{}"}})", kSha1), "no size");
  refused(fmt::format(R"({{"rfilename":"x","size":1.5,"blobId":"{}"}})", kSha1), "no size");
  refused(fmt::format(R"({{"rfilename":"x","size":9223372036854775807,"blobId":"{}"}})", kSha1),
          "no size");
  refused(fmt::format(R"({{"rfilename":"x","size":1,"blobId":"{}"}})", std::string(40, 'A')),
          "no hash");
  refused(fmt::format(R"({{"rfilename":"x","size":1,"blobId":"{}","lfs":{{"size":1}}}})", kSha1),
          "no hash");
}

TEST(Listing, SizesFitTogether) {
  const auto entry = [](const char* path, const std::string& hash, int64_t size) {
    return fmt::format(R"({{"rfilename":"{}","size":{},"blobId":"{}"}})", path, size, hash);
  };
  const auto refused = [](const std::string& entries, const char* part) {
    expect_error(ErrorCode::kCorrupt, {"a/b", part},
                 [&] { parse_listing(listing(entries), "a/b"); });
  };
  const std::string other(40, '3');
  EXPECT_EQ(
      parse_listing(listing(entry("x", kSha1, 5) + "," + entry("y", kSha1, 5)), "a/b").files.size(),
      2U);
  refused(entry("x", kSha1, 5) + "," + entry("y", kSha1, 9), "two sizes");
  const int64_t most = std::numeric_limits<int64_t>::max() / 4;
  EXPECT_EQ(parse_listing(listing(entry("x", kSha1, most)), "a/b").files.size(), 1U);
  refused(entry("x", kSha1, most) + "," + entry("y", other, 1), "more bytes than any disk holds");
}

TEST(Listing, PathsStayInTheFolder) {
  for (const char* path : {"x", "a/b.json", "..x", "x..", ".x", "a b", "\xc3\xa4.json", "a/.x"}) {
    EXPECT_TRUE(is_safe_path(path)) << path;
  }
  for (const std::string& path :
       {std::string(), std::string("/x"), std::string("../x"), std::string("a/.."),
        std::string("a//b"), std::string("a/"), std::string("./x"), std::string("x\ny"),
        std::string("a\\b"), std::string("x\0y", 3), std::string("\x7f"), std::string("\xc2\x9b"),
        std::string(201, 'x'), std::string(2000, '/')}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
}

TEST(Listing, ShownTexts) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a?[2Jb");
  EXPECT_EQ(printable(std::string(300, 'x')).size(), 203U);
}

}  // namespace
}  // namespace tq
