#include "io/path_hint.h"

#include <gtest/gtest.h>

#include "io/checkpoint.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;
using fixtures::write_bytes;

TEST(PathHint, NamesBesideThePath) {
  const TempDir dir;
  write_bytes(dir / "model-Q4_K_M.gguf", "GGUF");
  const std::string meant = (dir / "model-Q4_K_M.gguf").string();
  expect_error(ErrorCode::kNotFound, {"did you mean " + meant + "?"},
               [&] { open_checkpoint(dir / "model-Q4_K_S.gguf"); });
  expect_error(ErrorCode::kNotFound, {"did you mean " + meant + "?"},
               [&] { open_checkpoint(dir / "model"); });
  EXPECT_EQ(missing_path_hint(dir / "something else"), "");
  EXPECT_EQ(missing_path_hint(dir / "none" / "model.gguf"), "");
  EXPECT_EQ(missing_path_hint(""), "; the path is empty");
}

TEST(PathHint, FilesOfTextToo) {
  const TempDir dir;
  write_bytes(dir / "prompt.txt", "x");
  expect_error(ErrorCode::kNotFound, {"did you mean " + (dir / "prompt.txt").string() + "?"},
               [&] { read_text_file(dir / "promt.txt"); });
}

TEST(PathHint, Addresses) {
  for (const char* path : {"./Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "a/b/c", "Qwen/", "Qwen3-8B"}) {
    EXPECT_EQ(missing_path_hint(path), "") << path;
  }
  EXPECT_NE(missing_path_hint("https://example.org/a/model.gguf").find("download the file"),
            std::string::npos);
  EXPECT_NE(missing_path_hint("qwen3:8b").find("ORG/NAME"), std::string::npos);
}

}  // namespace
}  // namespace tq
