#include "kv/host_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace tq {
namespace {

struct HostPagesTest : testing::Test {
  HostPages host{Buffer(100), {40, 30}};
  std::vector<int32_t> a = {1, 2};
  std::vector<int32_t> b = {1, 3};

  static HostPages::Key key(const std::vector<int32_t>& tokens, uint64_t before = 0,
                            size_t group = 0) {
    return {group, before, tokens};
  }
  bool has(const HostPages::Key& wanted) const { return host.find(wanted) != nullptr; }
};

TEST_F(HostPagesTest, AreKnownByAllThatMakesThem) {
  std::byte* const room = host.add(key(a));
  ASSERT_NE(room, nullptr);
  room[39] = std::byte{7};
  EXPECT_EQ(host.find(key(a))[39], std::byte{7});
  EXPECT_FALSE(has(key(b)) || has(key(a, 5)) || has(key(a, 0, 1)));
  EXPECT_EQ(host.add(key(a)), nullptr) << "it is there already";
  EXPECT_EQ(host.used_bytes(), 40);
  host.drop(key(a));
  EXPECT_EQ(host.used_bytes() + host.n_pages(), 0);
}

TEST_F(HostPagesTest, TheLongestUnusedGoesFirst) {
  host.add(key(a));
  host.add(key(b));
  host.add(key(a));  // is used
  host.add(key(a, 1, 1));
  EXPECT_TRUE(has(key(a)) && has(key(a, 1, 1)));
  EXPECT_FALSE(has(key(b)));
  EXPECT_EQ(host.used_bytes(), 70);
}

TEST_F(HostPagesTest, WhatIsHeldStays) {
  host.add(key(a));
  host.add(key(b));
  host.hold(key(a));
  host.hold(key(b));
  EXPECT_EQ(host.add(key(a, 1)), nullptr) << "there is no room";
  host.let_go(key(a));
  EXPECT_NE(host.add(key(a, 1)), nullptr);
  EXPECT_TRUE(has(key(b)));
  EXPECT_FALSE(has(key(a)));
  HostPages small(Buffer(10), {40});
  EXPECT_EQ(small.add(key(a)), nullptr);
}

// Pages of two sizes come and go; what each holds stays its own, and in the end it is one piece.
TEST(HostPagesRoom, PagesDoNotOverlapAndGapsHeal) {
  const std::vector<int64_t> sizes = {48, 16};
  HostPages host(Buffer(1000), sizes);
  std::vector<std::vector<int32_t>> tokens(200);
  for (int32_t i = 0; i < 200; ++i) tokens[static_cast<size_t>(i)] = {i};
  const auto key = [&](size_t i) { return HostPages::Key{i % 3 == 0 ? 1u : 0u, 7, tokens[i]}; };
  uint32_t random = 1;
  for (int step = 0; step < 5000; ++step) {
    random = random * 1664525 + 1013904223;
    const size_t i = (random >> 8) % tokens.size();
    const HostPages::Key wanted = key(i);
    const auto n = static_cast<size_t>(sizes[wanted.group]);
    if (const std::byte* found = host.find(wanted); found != nullptr) {
      ASSERT_EQ(std::count(found, found + n, static_cast<std::byte>(i)), n) << "page " << i;
      if (random % 3 == 0) host.drop(wanted);
    } else if (std::byte* room = host.add(wanted); room != nullptr) {
      std::fill_n(room, n, static_cast<std::byte>(i));
    }
    ASSERT_LE(host.used_bytes(), 1000);
  }
  EXPECT_GT(host.used_bytes(), 800);
  for (size_t i = 0; i < tokens.size(); ++i) host.drop(key(i));
  for (size_t i = 0; i < 31; ++i) ASSERT_NE(host.add({0, 8, tokens[i]}), nullptr) << i;
  EXPECT_EQ(host.used_bytes(), 20 * 48);
}

}  // namespace
}  // namespace tq
