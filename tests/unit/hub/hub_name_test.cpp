#include "hub/hub_name.h"

#include <gtest/gtest.h>

#include <utility>

namespace tq {
namespace {

TEST(HubName, PartsOfAName) {
  const auto plain = parse_hub_name("Qwen/Qwen3-8B");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->repository, "Qwen/Qwen3-8B");
  EXPECT_EQ(plain->revision + plain->quantization + plain->file, "");

  const auto quantized = parse_hub_name("unsloth/Qwen3-8B-GGUF:ud-q4_k_xl");
  ASSERT_TRUE(quantized);
  EXPECT_EQ(quantized->quantization, "UD-Q4_K_XL");
  EXPECT_EQ(quantized->revision, "");

  const auto both = parse_hub_name("a/b:refs/pr/1:Q8_0");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->revision, "refs/pr/1");
  EXPECT_EQ(both->quantization, "Q8_0");
  EXPECT_EQ(both->text(), "a/b:refs/pr/1:Q8_0");
  EXPECT_EQ(parse_hub_name("a/b:Q8_0:refs/pr/1")->text(), both->text());

  EXPECT_EQ(parse_hub_name("a/b:x-Q8_0.gguf")->file, "x-Q8_0.gguf");
  EXPECT_EQ(parse_hub_name("a/b:v1.0")->revision, "v1.0");
}

TEST(HubName, Addresses) {
  for (const char* text : {"https://huggingface.co/Qwen/Qwen3-8B", "hf.co/Qwen/Qwen3-8B/",
                           "huggingface.co/Qwen/Qwen3-8B", "hf://Qwen/Qwen3-8B"}) {
    const auto name = parse_hub_name(text);
    ASSERT_TRUE(name) << text;
    EXPECT_EQ(name->repository, "Qwen/Qwen3-8B");
  }
}

TEST(HubName, PagesOfFiles) {
  EXPECT_EQ(
      parse_hub_name("https://huggingface.co/a/b/blob/main/sub/x-Q8_0.gguf?download=true")->text(),
      "a/b:main:sub/x-Q8_0.gguf");
  EXPECT_EQ(parse_hub_name("hf.co/a/b/resolve/v1/x.gguf")->text(), "a/b:v1:x.gguf");
  EXPECT_EQ(parse_hub_name("https://huggingface.co/a/b/tree/refs/pr/1")->text(), "a/b:refs/pr/1");
  EXPECT_FALSE(parse_hub_name("https://huggingface.co/a/b/blob/main/config.json"));
  EXPECT_FALSE(parse_hub_name("huggingface.co/hf.co/b"));  // "hf.co/b" is no other name for it
  EXPECT_FALSE(parse_hub_name("a/b/blob/main/x.gguf"));    // a path
}

TEST(HubName, WhatIsNone) {
  for (const char* text : {"",
                           "Qwen3-8B",
                           "a/b/c",
                           "./a",
                           "../a",
                           "/a/b",
                           "a/",
                           "a/.b",
                           "a/b c",
                           "a/b\n",
                           "a--b/c",
                           "a/b..c",
                           "a/-b",
                           "a/b:",
                           "a/b:../x",
                           "a/b:/etc",
                           "a/b:x:y",
                           "a/b:Q8_0:Q4_0",
                           "a/b:x//y",
                           "a/b:Q8_0:x.gguf",
                           "https://example.org/a/b",
                           "a/b:x y",
                           "a/b:../x.gguf"}) {
    EXPECT_FALSE(parse_hub_name(text)) << text;
  }
}

TEST(HubName, Quantizations) {
  for (const char* text : {"Q4_K_M", "q8_0", "IQ4_XS", "UD-IQ2_XXS", "BF16", "f16", "MXFP4",
                           "MXFP4_MOE", "TQ1_0", "Q4_0_4_4", "Q6_K", "UD-Q4_K_XL"}) {
    EXPECT_TRUE(is_quantization(text)) << text;
  }
  for (const char* text : {"", "main", "Q4", "Q4_", "v1.0", "Q_K", "Qwen", "Q44_K", "UD-", "XQ4_K",
                           "MXFP4_", "Q4__K", "Q4_K_MANY_MANY_MORE"}) {
    EXPECT_FALSE(is_quantization(text)) << text;
  }
}

TEST(HubName, QuantizationsOfFiles) {
  const std::pair<const char*, const char*> kCases[] = {
      {"Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"},
      {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "Q4_K_M"},
      {"Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
      {"gemma-3-4b-it.IQ3_XXS.gguf", "IQ3_XXS"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"model_instruct_Q8_0.gguf", "Q8_0"},
      {"SmolLM2-135M-Instruct-f16.gguf", "F16"},
      {"big-Q6_K-00001-of-00003.gguf", "Q6_K"},
      {"Q4_K_M/big-00001-of-00002.gguf", "Q4_K_M"},
      {"UD-Q2_K_XL/big-UD-Q2_K_XL-00001-of-00002.gguf", "UD-Q2_K_XL"},
      {"gemma-3-1b-it-qat-q4_0.GGUF", "Q4_0"},
      {"Llama-3.2-1B-Q4_K_M-imat.gguf", "Q4_K_M"},
      {"model.gguf", ""},
      {"Cloud-Q4.gguf", ""},
  };
  for (const auto& [path, quantization] : kCases) {
    EXPECT_EQ(quantization_of(path), quantization) << path;
  }
}

}  // namespace
}  // namespace tq
