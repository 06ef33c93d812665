#include "io/path_hint.h"

#include <gtest/gtest.h>
#include <stdlib.h>

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

TEST(PathHint, NamesOnTheHub) {
  for (const char* name :
       {"Qwen/Qwen3-8B", "https://huggingface.co/Qwen/Qwen3-8B", "hf.co/Qwen/Qwen3-8B:Q4_K_M"}) {
    const std::string hint = missing_path_hint(name);
    EXPECT_NE(hint.find("hf download Qwen/Qwen3-8B --local-dir Qwen3-8B,"), std::string::npos)
        << hint;
  }
  for (const char* path :
       {"./Qwen/Qwen3-8B", "/Qwen/Qwen3-8B", "a/b/c", "Qwen/", "Qwen3-8B", "../Qwen", "Qwen/a b"}) {
    EXPECT_EQ(missing_path_hint(path), "") << path;
  }
  EXPECT_NE(missing_path_hint("https://example.org/a/model.gguf").find("network"),
            std::string::npos);
  EXPECT_NE(missing_path_hint("qwen3:8b").find("Ollama"), std::string::npos);
}

TEST(PathHint, TheHubsCache) {
  const TempDir dir;
  const fs::path snapshot = dir / "models--Qwen--Qwen3-8B/snapshots/0123abcd";
  fs::create_directories(snapshot);
  setenv("HF_HUB_CACHE", dir.path().c_str(), 1);
  EXPECT_NE(missing_path_hint("Qwen/Qwen3-8B").find("hf download"), std::string::npos);
  write_bytes(snapshot / "model.safetensors", "x");
  EXPECT_NE(missing_path_hint("Qwen/Qwen3-8B").find("give " + snapshot.string()),
            std::string::npos);
  unsetenv("HF_HUB_CACHE");
}

}  // namespace
}  // namespace tq
