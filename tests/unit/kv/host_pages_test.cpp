#include "kv/host_pages.h"

#include <gtest/gtest.h>

#include <vector>

namespace tq {
namespace {

struct HostPagesTest : testing::Test {
  HostPages host{100, {40, 30}};
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
  HostPages small(10, {40});
  EXPECT_EQ(small.add(key(a)), nullptr);
}

}  // namespace
}  // namespace tq
