#include "kv/block_manager.h"

#include <gtest/gtest.h>

#include <set>

namespace tq {
namespace {

TEST(BlockManager, HandsOutLowestPagesFirst) {
  BlockManager manager(4);
  BlockTable table;
  EXPECT_EQ(table.capacity_tokens(), 0);
  ASSERT_TRUE(manager.reserve(table, 17));
  EXPECT_EQ(table.blocks, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(table.capacity_tokens(), 32);
  EXPECT_EQ(manager.free_blocks(), 2);
}

TEST(BlockManager, GrowsOnlyAtPageBoundaries) {
  BlockManager manager(4);
  BlockTable table;
  ASSERT_TRUE(manager.reserve(table, 0));
  EXPECT_EQ(manager.free_blocks(), 4);
  ASSERT_TRUE(manager.reserve(table, 1));
  ASSERT_TRUE(manager.reserve(table, 16));
  EXPECT_EQ(manager.free_blocks(), 3);
  ASSERT_TRUE(manager.reserve(table, 17));
  EXPECT_EQ(manager.free_blocks(), 2);
  ASSERT_TRUE(manager.reserve(table, 5)) << "a smaller need never fails";
  EXPECT_EQ(table.capacity_tokens(), 32) << "nor shrinks the table";
}

TEST(BlockManager, RefusesWithoutChangingAnything) {
  BlockManager manager(3);
  BlockTable first;
  BlockTable second;
  ASSERT_TRUE(manager.reserve(first, 32));
  EXPECT_FALSE(manager.reserve(second, 17));
  EXPECT_TRUE(second.blocks.empty());
  EXPECT_EQ(manager.free_blocks(), 1);
  EXPECT_TRUE(manager.reserve(second, 16));
  EXPECT_FALSE(manager.reserve(first, 33));
  EXPECT_EQ(first.blocks.size(), 2u);
}

TEST(BlockManager, ReusesWhatIsReleased) {
  BlockManager manager(4);
  BlockTable first;
  BlockTable second;
  ASSERT_TRUE(manager.reserve(first, 32));
  ASSERT_TRUE(manager.reserve(second, 32));
  manager.release(first);
  EXPECT_TRUE(first.blocks.empty());
  EXPECT_EQ(manager.free_blocks(), 2);
  ASSERT_TRUE(manager.reserve(first, 32));
  EXPECT_EQ(first.blocks, (std::vector<int32_t>{0, 1}));
  std::set<int32_t> all(first.blocks.begin(), first.blocks.end());
  all.insert(second.blocks.begin(), second.blocks.end());
  EXPECT_EQ(all.size(), 4u) << "no page belongs to two tables";
  manager.release(first);
  manager.release(first);
  EXPECT_EQ(manager.free_blocks(), 2) << "releasing an empty table does nothing";
}

TEST(KvSlot, FollowsTheTable) {
  const BlockTable table{{5, 0, 9}};
  EXPECT_EQ(kv_slot(table, 0), 80);
  EXPECT_EQ(kv_slot(table, 15), 95);
  EXPECT_EQ(kv_slot(table, 16), 0);
  EXPECT_EQ(kv_slot(table, 47), 9 * 16 + 15);
}

TEST(BlockManager, RingsGrowToTheirSizeAndNoFurther) {
  BlockManager manager(8, /*ring=*/2, /*n_recent_blocks=*/3);
  BlockTable first;
  BlockTable second;
  ASSERT_TRUE(manager.reserve(first, 10));
  EXPECT_EQ(first.recent.size(), 1u);
  ASSERT_TRUE(manager.reserve(first, 80));
  EXPECT_EQ(first.recent, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(recent_kv_slot(first, 15), 15);
  EXPECT_EQ(recent_kv_slot(first, 16), 16);
  EXPECT_EQ(recent_kv_slot(first, 32 + 3), 3)
      << "the third page of the sequence is the first again";
  EXPECT_FALSE(manager.reserve(second, 20)) << "its ring needs two pages, one is left";
  EXPECT_TRUE(second.blocks.empty());
  manager.release(first);
  EXPECT_TRUE(first.recent.empty());
  EXPECT_TRUE(manager.reserve(second, 20));
}

TEST(BlockManager, KnowsWhatARingStillHolds) {
  const BlockManager manager(100, /*ring=*/4, /*n_recent_blocks=*/4);  // 64 tokens
  EXPECT_TRUE(manager.can_resume(64, 0, 8)) << "nothing was overwritten yet";
  EXPECT_TRUE(manager.can_resume(100, 100, 8));
  EXPECT_TRUE(manager.can_resume(100, 43, 8)) << "36 .. 42 are kept";
  EXPECT_FALSE(manager.can_resume(100, 42, 8)) << "35 is not";
  EXPECT_FALSE(manager.can_resume(100, 0, 8)) << "what is at 0 has been overwritten, but runs anew";
  EXPECT_TRUE(BlockManager(100).can_resume(1600, 0, 8)) << "everything is kept";
}

}  // namespace
}  // namespace tq
