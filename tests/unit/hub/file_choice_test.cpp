#include "hub/file_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;
using testing::ElementsAre;
using testing::HasSubstr;

Listing listing_of(std::vector<std::string> paths) {
  Listing listing;
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) listing.files.push_back({path, 1, std::string(40, 'a')});
  return listing;
}

std::vector<std::string> chosen(const std::vector<std::string>& paths, const char* name = "a/b",
                                const std::vector<std::string>& include = {}) {
  std::vector<std::string> out;
  for (const HubFile& file :
       choose_files(listing_of(paths), *parse_hub_name(name), include).files) {
    out.push_back(file.path);
  }
  return out;
}

TEST(FileChoice, Safetensors) {
  EXPECT_THAT(chosen({"README.md",
                      "LICENSE",
                      "config.json",
                      "generation_config.json",
                      "tokenizer.json",
                      "tokenizer.model",
                      "merges.txt",
                      "vocab.txt",
                      "requirements.txt",
                      "chat_template.jinja",
                      "model-00001-of-00002.safetensors",
                      "model-00002-of-00002.safetensors",
                      "model.safetensors.index.json",
                      "pytorch_model.bin",
                      "pytorch_model.bin.index.json",
                      "consolidated.safetensors",
                      "onnx/model.onnx",
                      "original/params.json",
                      "flax_model.msgpack",
                      "additional_chat_templates/tool.jinja",
                      "additional_chat_templates/x/y.jinja",
                      "model.fp16.safetensors"}),
              ElementsAre("LICENSE", "additional_chat_templates/tool.jinja", "chat_template.jinja",
                          "config.json", "generation_config.json", "merges.txt",
                          "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                          "model.safetensors.index.json", "tokenizer.json", "tokenizer.model",
                          "vocab.txt"));
  // One file holds all: the parts and their index are the same weights again.
  EXPECT_THAT(chosen({"config.json", "model.safetensors", "model-00001-of-00001.safetensors",
                      "model.safetensors.index.json"}),
              ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(chosen({"config.json", "weights.safetensors"}),
              ElementsAre("config.json", "weights.safetensors"));
}

TEST(FileChoice, OneQuantization) {
  const std::vector<std::string> paths = {"README.md",
                                          "x-Q8_0.gguf",
                                          "x-Q4_K_M.gguf",
                                          "x-Q2_K.gguf",
                                          "mmproj-x-f16.gguf",
                                          "x.imatrix.gguf",
                                          "config.json",
                                          "BF16/x-BF16-00001-of-00002.gguf",
                                          "BF16/x-BF16-00002-of-00002.gguf"};
  EXPECT_THAT(chosen(paths), ElementsAre("x-Q4_K_M.gguf"));
  EXPECT_THAT(chosen(paths, "a/b:q8_0"), ElementsAre("x-Q8_0.gguf"));
  EXPECT_THAT(chosen(paths, "a/b:x-Q2_K.gguf"), ElementsAre("x-Q2_K.gguf"));
  EXPECT_THAT(chosen(paths, "a/b:bf16"),
              ElementsAre("BF16/x-BF16-00001-of-00002.gguf", "BF16/x-BF16-00002-of-00002.gguf"));
  EXPECT_THAT(choose_files(listing_of(paths), *parse_hub_name("a/b"), {}).note,
              HasSubstr("taking Q4_K_M of BF16, Q2_K, Q4_K_M, Q8_0"));
  EXPECT_EQ(choose_files(listing_of(paths), *parse_hub_name("a/b:Q8_0"), {}).note, "");
  EXPECT_EQ(choose_files(listing_of({"only.gguf"}), *parse_hub_name("a/b"), {}).note, "");
  expect_error(ErrorCode::kNotFound, {"a/b has no Q4_K_S", "did you mean Q4_K_M?", "Q8_0"},
               [&] { chosen(paths, "a/b:Q4_K_S"); });
}

TEST(FileChoice, DefaultsByWhatThereIs) {
  EXPECT_THAT(chosen({"x-Q8_0.gguf", "x-F16.gguf"}), ElementsAre("x-Q8_0.gguf"));
  EXPECT_THAT(chosen({"x-UD-Q4_K_XL.gguf", "x-Q8_0.gguf"}), ElementsAre("x-UD-Q4_K_XL.gguf"));
  EXPECT_THAT(chosen({"one.gguf", "two.gguf"}), ElementsAre("one.gguf"));
  // Names that no quantization tells apart are named whole.
  EXPECT_THAT(choose_files(listing_of({"one.gguf", "two.gguf"}), *parse_hub_name("a/b"), {}).note,
              HasSubstr("another one is named as a/b:two.gguf"));
}

TEST(FileChoice, BothKinds) {
  const std::vector<std::string> paths = {"config.json", "model.safetensors", "x-Q4_0.gguf"};
  EXPECT_THAT(chosen(paths), ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(chosen(paths, "a/b:Q4_0"), ElementsAre("x-Q4_0.gguf"));
}

TEST(FileChoice, Globs) {
  const std::vector<std::string> paths = {"config.json", "sub/x.json", "model.safetensors"};
  EXPECT_THAT(chosen(paths, "a/b", {"*.json"}), ElementsAre("config.json", "sub/x.json"));
  EXPECT_THAT(chosen(paths, "a/b", {"model*", "sub/?.json"}),
              ElementsAre("model.safetensors", "sub/x.json"));
  expect_error(ErrorCode::kNotFound, {"--include *.exe"}, [&] { chosen(paths, "a/b", {"*.exe"}); });
}

TEST(FileChoice, WhatIsNoModel) {
  expect_error(ErrorCode::kNotFound, {"pickles"}, [] { chosen({"pytorch_model.bin"}); });
  expect_error(ErrorCode::kNotFound, {"an adapter"}, [] {
    chosen({"adapter_config.json", "adapter_model.safetensors"});
  });
  expect_error(ErrorCode::kNotFound, {"no weights", "none"}, [] { chosen({}); });
  expect_error(ErrorCode::kNotFound, {"no GGUF files"},
               [] { chosen({"model.safetensors"}, "a/b:Q4_K_M"); });
  expect_error(ErrorCode::kNotFound, {"missing in the repository"},
               [] { chosen({"x-Q4_K_M-00001-of-00002.gguf"}); });
}

}  // namespace
}  // namespace tq
