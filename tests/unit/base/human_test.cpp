#include "base/human.h"

#include <gtest/gtest.h>

#include <limits>

namespace tq {
namespace {

TEST(Human, BinaryUnits) {
  EXPECT_EQ(human_binary_bytes(0), "0 B");
  EXPECT_EQ(human_binary_bytes(1000), "1000 B");
  EXPECT_EQ(human_binary_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_binary_bytes(12.0 * (1 << 30)), "12.0 GiB");
  EXPECT_EQ(human_binary_bytes(1.5 * 1024 * 1024), "1.50 MiB");
}

TEST(ParseBytes, Units) {
  EXPECT_EQ(parse_bytes("0"), 0);
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("7b"), 7);
  EXPECT_EQ(parse_bytes("4k"), 4000);
  EXPECT_EQ(parse_bytes("4kB"), 4000);
  EXPECT_EQ(parse_bytes("4KiB"), 4096);
  EXPECT_EQ(parse_bytes("4Ki"), 4096);
  EXPECT_EQ(parse_bytes("500m"), 500'000'000);
  EXPECT_EQ(parse_bytes("12GB"), 12'000'000'000);
  EXPECT_EQ(parse_bytes("12 GB"), 12'000'000'000);
  EXPECT_EQ(parse_bytes("12gib"), int64_t{12} << 30);
  EXPECT_EQ(parse_bytes("1.5GiB"), int64_t{3} << 29);
  EXPECT_EQ(parse_bytes(".5G"), 500'000'000);
  EXPECT_EQ(parse_bytes("2TiB"), int64_t{1} << 41);
}

TEST(ParseBytes, WhatIsNoSize) {
  for (const char* text : {"",
                           " ",
                           "GB",
                           "x",
                           "-1",
                           "-1GB",
                           "+1",
                           "12Q",
                           "12GBB",
                           "12GG",
                           "1e3",
                           "1i",
                           "12ib",
                           "inf",
                           "nan",
                           "0x10",
                           "1,5GB",
                           "1 2",
                           "9223372036854775808",
                           "10000000TB",
                           "12GB ",
                           "\xc3\xa9"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
    EXPECT_EQ(parse_tokens(text), std::nullopt) << text;
  }
}

TEST(ParseTokens, KIs1024) {
  EXPECT_EQ(parse_tokens("0"), 0);
  EXPECT_EQ(parse_tokens("4096"), 4096);
  EXPECT_EQ(parse_tokens("4k"), 4096);
  EXPECT_EQ(parse_tokens("128K"), 131072);
  EXPECT_EQ(parse_tokens("0.5k"), 512);
  EXPECT_EQ(parse_tokens("1M"), 1 << 20);
}

TEST(ParseTokens, WholeTokensOnly) {
  for (const char* text : {"1.5", "0.0001k", "4kb", "4ki", "4g", "12GiB"}) {
    EXPECT_EQ(parse_tokens(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tq
