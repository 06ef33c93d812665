#include "io/file_kind.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::raw_safetensors;
using fixtures::TempDir;
using fixtures::write_bytes;

using namespace std::string_literals;  // NOLINT(google-build-using-namespace): NULs

FileKind kind_of(const std::string& content) {
  return file_kind({reinterpret_cast<const uint8_t*>(content.data()), content.size()});
}

TEST(FileKind, KnowsContentsByTheirFirstBytes) {
  EXPECT_EQ(kind_of(""), FileKind::kEmpty);
  EXPECT_EQ(kind_of("GGUF\3\0\0\0"s), FileKind::kGguf);
  EXPECT_EQ(kind_of("{\"a\": 1}"), FileKind::kJson);
  EXPECT_EQ(kind_of(" \n[1]"), FileKind::kJson);
  EXPECT_EQ(kind_of("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
            FileKind::kLfsPointer);
  EXPECT_EQ(kind_of("\n<!DocType HTML>"), FileKind::kWebPage);
  EXPECT_EQ(kind_of("\xef\xbb\xbf<html lang=\"en\">"), FileKind::kWebPage);
  EXPECT_EQ(kind_of("Entry not found"), FileKind::kServerMessage);
  EXPECT_EQ(kind_of("{ \"error\": \"Not Found\"}"), FileKind::kServerMessage);
  EXPECT_EQ(kind_of("PK\3\4 archive/data.pkl"), FileKind::kTorch);
  EXPECT_EQ(kind_of("PK\3\4 config.json"), FileKind::kZip);
  EXPECT_EQ(kind_of("\x80\2}q\0."s), FileKind::kPickle);
  EXPECT_EQ(kind_of("\x1f\x8b\x08"), FileKind::kCompressed);
  EXPECT_EQ(kind_of("\xfd"
                    "7zXZ\0\0"s),
            FileKind::kCompressed);
  EXPECT_EQ(kind_of(std::string(257, '\0') + "ustar\0"s), FileKind::kTar);
  EXPECT_EQ(kind_of("tjgg\1\0\0\0"s), FileKind::kLegacyGgml);
  EXPECT_EQ(kind_of("\x89HDF\r\n\x1a\n"), FileKind::kHdf5);
  EXPECT_EQ(kind_of("\x93NUMPY\1"), FileKind::kNumpy);
  EXPECT_EQ(kind_of("\x7f"
                    "ELF"),
            FileKind::kProgram);
  EXPECT_EQ(kind_of("something else"), FileKind::kUnknown);
}

// The length before the header may be any number: 640 begins as a pickle does, 35615 as gzip.
TEST(FileKind, SafetensorsComeFirst) {
  for (const size_t length : {size_t{2}, size_t{640}, size_t{35615}, size_t{0x4b50}}) {
    std::string header = "{}";
    header.resize(length, ' ');
    EXPECT_EQ(kind_of(raw_safetensors(header, "")), FileKind::kSafetensors) << length;
  }
}

TEST(FileKind, LongTextIsNoServerMessage) {
  EXPECT_EQ(kind_of("Not found" + std::string(2000, 'x')), FileKind::kUnknown);
  EXPECT_EQ(kind_of("{\"error\": \"" + std::string(2000, 'x') + "\"}"), FileKind::kJson);
}

TEST(FileKind, MessagesSayWhatToDo) {
  const TempDir dir;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
  write_bytes(dir / "tokenizer.json", pointer);
  expect_error(ErrorCode::kCorrupt,
               {(dir / "tokenizer.json").string(), "Git LFS", "12345 bytes", "git lfs pull"},
               [&] { read_checkpoint_text(dir / "tokenizer.json", 1000); });
  for (const std::string size : {"", "\nsize ", "\nsize x", "\nsize 9999999999999999999999999"}) {
    write_bytes(dir / "tokenizer.json", pointer.substr(0, 42) + size);
    expect_error(ErrorCode::kCorrupt, {"Git LFS"},
                 [&] { read_checkpoint_text(dir / "tokenizer.json", 1000); });
  }
  write_bytes(dir / "config.json", "Forbidden \x1b[31m");  // nothing a terminal obeys is repeated
  EXPECT_EQ(read_checkpoint_text(dir / "config.json", 1000).size(), 15u);
  write_bytes(dir / "config.json", "Forbidden \"x\"");
  expect_error(ErrorCode::kCorrupt, {"\"Forbidden \\\"x\\\"\""},
               [&] { read_checkpoint_text(dir / "config.json", 1000); });
}

// Templates and licences may be what a config cannot be.
TEST(FileKind, TextsOfOtherKindsMayBeHtmlOrEmpty) {
  const TempDir dir;
  for (const char* name : {"LICENSE", "chat_template.jinja"}) {
    for (const std::string content : {"", "<html>{{ messages }}</html>"}) {
      write_bytes(dir / name, content);
      EXPECT_EQ(read_checkpoint_text(dir / name, 1000), content) << name;
    }
  }
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    write_bytes(dir / name, "<html>");
    expect_error(ErrorCode::kCorrupt, {name, "web page"},
                 [&] { read_checkpoint_text(dir / name, 1000); });
  }
}

}  // namespace
}  // namespace tq
