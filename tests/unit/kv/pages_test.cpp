#include "kv/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/expect_error.h"

namespace tq {
namespace {

using ::testing::ElementsAre;

// Ids from `first` on.
std::vector<int32_t> ids(int64_t n, int32_t first = 0) {
  std::vector<int32_t> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), first);
  return out;
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const std::vector<PageId>& pages_of(const PageTable& table, size_t group = 0) {
  return table.groups.at(group).pages;
}

// Groups {0, window} with so many pages each.
Pages with_window(int64_t window, int64_t n_pages, int64_t n_window_pages) {
  return Pages({0, window}, std::vector<int64_t>{n_pages, n_window_pages});
}

// Runs a sequence to its end, chunk by chunk, as an engine does.
void run(Pages& pages, PageTable& table, const std::vector<int32_t>& tokens, int64_t chunk) {
  for (int64_t at = pages.adopt(table, tokens); at < static_cast<int64_t>(tokens.size());) {
    const int64_t end = std::min(at + chunk, static_cast<int64_t>(tokens.size()));
    pages.slide(table, at);
    ASSERT_TRUE(pages.grow(table, end));
    pages.publish(table, std::span(tokens).first(static_cast<size_t>(end)));
    at = end;
  }
}

TEST(Pages, HandsOutLowestPagesFirst) {
  Pages pages(4);
  PageTable table;
  EXPECT_EQ(table.capacity_tokens(), 0);
  ASSERT_TRUE(pages.grow(table, 17));
  EXPECT_THAT(pages_of(table), ElementsAre(0, 1));
  EXPECT_EQ(table.capacity_tokens(), 32);
  EXPECT_EQ(pages.n_available(), 2);
}

TEST(Pages, GrowOnlyAtPageBoundaries) {
  Pages pages(4);
  PageTable table;
  ASSERT_TRUE(pages.grow(table, 0));
  EXPECT_EQ(pages.n_available(), 4);
  ASSERT_TRUE(pages.grow(table, 1));
  ASSERT_TRUE(pages.grow(table, 16));
  EXPECT_EQ(pages.n_available(), 3);
  ASSERT_TRUE(pages.grow(table, 17));
  EXPECT_EQ(pages.n_available(), 2);
  ASSERT_TRUE(pages.grow(table, 5)) << "a smaller need never fails";
  EXPECT_EQ(table.capacity_tokens(), 32) << "nor shrinks the table";
}

TEST(Pages, RefuseWithoutChangingAnything) {
  Pages pages = with_window(16, 3, 2);
  PageTable first;
  PageTable second;
  ASSERT_TRUE(pages.grow(first, 16));
  EXPECT_EQ(pages.most_tokens(second), 16) << "one page is left in the second group";
  EXPECT_FALSE(pages.grow(second, 17));
  EXPECT_EQ(second.capacity_tokens(), 0);
  EXPECT_EQ(pages.n_available(), 2);
  EXPECT_TRUE(pages.grow(second, 16));
  EXPECT_FALSE(pages.grow(first, 17));
  EXPECT_EQ(pages_of(first).size(), 1u);
}

TEST(Pages, AreUsedAgain) {
  Pages pages(4);
  PageTable first;
  PageTable second;
  ASSERT_TRUE(pages.grow(first, 32));
  ASSERT_TRUE(pages.grow(second, 32));
  pages.release(first);
  EXPECT_EQ(first.capacity_tokens(), 0);
  EXPECT_EQ(pages.n_available(), 2);
  ASSERT_TRUE(pages.grow(first, 32));
  EXPECT_THAT(pages_of(first), ElementsAre(0, 1));
  pages.release(first);
  pages.release(first);
  EXPECT_EQ(pages.n_available(), 2) << "releasing an empty table does nothing";
  EXPECT_EQ(pages.n_kept(), 0) << "nobody knows what they hold";
}

// What adopting says of a prompt, whose pages are then kept.
PrefixReport tell(Pages& pages, const std::vector<int32_t>& tokens) {
  PageTable table;
  PrefixReport report;
  pages.adopt(table, tokens, &report);
  EXPECT_TRUE(pages.grow(table, static_cast<int64_t>(tokens.size())));
  pages.retire(table, tokens);
  return report;
}

TEST(Pages, SayWhyNotMoreWasFound) {
  using Why = PrefixReport::Why;
  Pages pages(8);
  const auto expect = [&](const std::vector<int32_t>& tokens, Why why, int64_t n_tokens) {
    const PrefixReport report = tell(pages, tokens);
    EXPECT_EQ(report.why, why);
    EXPECT_EQ(report.n_tokens, n_tokens);
  };
  const std::vector<int32_t> first = ids(40);
  expect(first, Why::kUnknown, 0);
  expect(first, Why::kNone, 0);
  expect(ids(12), Why::kNone, 0);
  expect(ids(50), Why::kEnded, 40);
  expect(joined(ids(20), {7, 8, 9}), Why::kDiffers, 20);
  expect(joined(ids(50), {7, 8, 9}), Why::kEnded, 50);
  expect(ids(20, 100), Why::kUnknown, 0);
  expect(ids(8 * 16, 200), Why::kUnknown, 0);  // takes all pages
  expect(joined(ids(20), {1}), Why::kForgotten, 16);
  expect(first, Why::kForgotten, 32);
}

TEST(Pages, SayThatWhatAWindowSeesIsGone) {
  Pages pages = with_window(16, 8, 3);
  PageTable table;
  run(pages, table, ids(64), 16);
  pages.retire(table, ids(64));
  const PrefixReport report = tell(pages, joined(ids(16), {1, 2}));
  EXPECT_EQ(report.why, PrefixReport::Why::kForgotten);
  EXPECT_EQ(report.n_tokens, 16);
}

TEST(RecentHashes, ForgetTheOldest) {
  RecentHashes hashes(2);
  for (const uint64_t hash : {1, 2, 1, 3}) hashes.add(hash);
  EXPECT_FALSE(hashes.has(1));
  EXPECT_TRUE(hashes.has(2));
  EXPECT_TRUE(hashes.has(3));
}

TEST(KvSlot, FollowsTheTable) {
  const PageTable table{{{{5, 0, 9}}, {{1, 2, 3}}}};
  EXPECT_EQ(kv_slot(table, 0), 80);
  EXPECT_EQ(kv_slot(table, 15), 95);
  EXPECT_EQ(kv_slot(table, 16), 0);
  EXPECT_EQ(kv_slot(table, 47), 9 * 16 + 15);
  EXPECT_EQ(kv_slot(table, 47, 1), 3 * 16 + 15);
}

TEST(FirstPageSeen, IsThatOfTheOldestTokenInTheWindow) {
  EXPECT_EQ(first_page_seen(1000, 0), 0);
  EXPECT_EQ(first_page_seen(0, 1), 0);
  EXPECT_EQ(first_page_seen(7, 8), 0);
  EXPECT_EQ(first_page_seen(16, 1), 1);
  EXPECT_EQ(first_page_seen(22, 8), 0) << "15 is seen";
  EXPECT_EQ(first_page_seen(23, 8), 1);
}

TEST(Pages, BehindAWindowAreGivenBack) {
  Pages pages = with_window(20, 10, 4);
  PageTable table;
  ASSERT_TRUE(pages.grow(table, 64));
  EXPECT_FALSE(pages.grow(table, 65)) << "four pages are all";
  pages.slide(table, 34);  // sees 15 and what follows
  EXPECT_EQ(pages.n_available(1), 0);
  pages.slide(table, 35);
  EXPECT_EQ(pages.n_available(1), 1);
  EXPECT_THAT(pages_of(table, 1), ElementsAre(0, 1, 2, 3)) << "any page stands where one was left";
  EXPECT_EQ(table.groups[1].n_left, 1);
  ASSERT_TRUE(pages.grow(table, 80));
  EXPECT_EQ(pages.n_available(0), 5) << "without a window all stay";
  pages.slide(table, 79);  // sees 60 and what follows
  EXPECT_THAT(pages_of(table, 1), ElementsAre(0, 0, 0, 3, 0));
  pages.release(table);
  EXPECT_EQ(pages.n_available(0), 10);
  EXPECT_EQ(pages.n_available(1), 4);
}

TEST(Pages, AreSharedAsSoonAsTheyAreFull) {
  Pages pages(10);
  PageTable first;
  run(pages, first, ids(40), 40);
  PageTable second;
  EXPECT_EQ(pages.adopt(second, joined(ids(32), {7, 7, 7})), 32);
  EXPECT_THAT(pages_of(second), ElementsAre(0, 1));
  EXPECT_EQ(pages.n_available(), 7);
  ASSERT_TRUE(pages.grow(second, 35));
  EXPECT_THAT(pages_of(second), ElementsAre(0, 1, 3)) << "the page being written is its own";
  pages.release(first);
  EXPECT_EQ(pages.n_available(), 7) << "two pages are the second's still";
  pages.release(second);
  EXPECT_EQ(pages.n_available(), 10);
  EXPECT_EQ(pages.n_kept(), 2);
}

TEST(Pages, TheLastTokenIsAlwaysRun) {
  Pages pages(10);
  PageTable table;
  run(pages, table, ids(48), 48);
  pages.retire(table, ids(48));
  EXPECT_EQ(pages.n_adoptable(ids(48)), 32);
  EXPECT_EQ(pages.n_adoptable(ids(49)), 48);
  EXPECT_EQ(pages.n_adoptable({}), 0);
  EXPECT_EQ(pages.n_adoptable(ids(1)), 0);
}

TEST(Pages, TokensAreComparedFromTheFirstOn) {
  Pages pages(10);
  PageTable table;
  run(pages, table, ids(48), 48);
  pages.retire(table, ids(48));
  std::vector<int32_t> other = ids(48);
  other[5] = 99;
  EXPECT_EQ(pages.n_adoptable(other), 0) << "the second page is the same after another first one";
  other = ids(48);
  other[20] = 99;
  EXPECT_EQ(pages.n_adoptable(other), 16);
}

TEST(Pages, APartlyFilledPageIsTakenOverNotShared) {
  Pages pages(10);
  PageTable table;
  run(pages, table, ids(20), 20);
  pages.retire(table, ids(20));
  PageTable first;
  PageTable second;
  // 16, 17 are as they were; then it goes on with others.
  const std::vector<int32_t> tokens = joined(ids(18), {70, 71, 72});
  EXPECT_EQ(pages.adopt(first, tokens), 18);
  EXPECT_THAT(pages_of(first), ElementsAre(0, 1));
  EXPECT_EQ(pages.adopt(second, tokens), 16) << "it is the first's to write";
  pages.check(std::vector<const PageTable*>{&first, &second});
}

TEST(Pages, OfTailsTheOneThatHasMostInCommonIsTaken) {
  Pages pages(10);
  for (const std::vector<int32_t>& tail :
       std::vector<std::vector<int32_t>>{{1, 2, 3, 4}, {1, 2, 9}, {1, 3}, {5, 6, 7}}) {
    PageTable table;
    ASSERT_TRUE(pages.grow(table, static_cast<int64_t>(tail.size())));
    pages.retire(table, tail);
  }
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>{1, 2, 3, 5, 6}), 3);
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>{1, 2, 9, 9}), 3);
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>{1, 3, 0}), 2);
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>{5, 7}), 1);
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>{6, 7}), 0);
}

TEST(Pages, ThatTwoFilledAlikeBecomeOne) {
  Pages pages(10);
  PageTable first;
  PageTable second;
  ASSERT_TRUE(pages.grow(first, 20));
  ASSERT_TRUE(pages.grow(second, 20));
  pages.publish(first, ids(20));
  pages.publish(second, ids(20));
  EXPECT_THAT(pages_of(first), ElementsAre(0, 1));
  EXPECT_THAT(pages_of(second), ElementsAre(0, 3));
  EXPECT_EQ(pages.n_available(), 7);
  pages.check(std::vector<const PageTable*>{&first, &second});
}

TEST(Pages, WhatIsKeptGoesLeafFirstAndOldestFirst) {
  Pages pages(6);
  PageTable table;
  run(pages, table, ids(32), 32);
  pages.retire(table, ids(32));  // two pages, the older sequence
  run(pages, table, ids(32, 100), 32);
  pages.retire(table, ids(32, 100));
  PageTable other;
  ASSERT_TRUE(pages.grow(other, 3 * 16));  // two that are free, then one that is kept
  EXPECT_EQ(pages.n_adoptable(ids(33)), 16) << "the end of the older one is forgotten";
  EXPECT_EQ(pages.n_adoptable(ids(33, 100)), 32);
  EXPECT_EQ(pages.adopt(table, ids(17)), 16);  // used again: younger than the other now
  pages.release(table);
  ASSERT_TRUE(pages.grow(other, 5 * 16));
  EXPECT_EQ(pages.n_adoptable(ids(33)), 16);
  EXPECT_EQ(pages.n_adoptable(ids(33, 100)), 0);
  ASSERT_TRUE(pages.grow(other, 6 * 16));
  EXPECT_EQ(pages.n_adoptable(ids(33)), 0);
  EXPECT_FALSE(pages.grow(other, 6 * 16 + 1));
}

TEST(Pages, ASequenceGoesOnOnlyWhereItsWindowIsKept) {
  Pages pages = with_window(20, 20, 4);
  PageTable table;
  run(pages, table, ids(128), 16);
  pages.retire(table, ids(128));  // the window keeps 96 to 127, what is before goes first
  EXPECT_EQ(pages.n_adoptable(joined(ids(128), {1})), 128);
  PageTable other;
  run(pages, other, ids(32, 500), 16);  // the window's free pages are gone
  EXPECT_EQ(pages.n_kept(1), 2);
  EXPECT_EQ(pages.n_adoptable(joined(ids(128), {1})), 128);
  EXPECT_EQ(pages.n_adoptable(joined(ids(112), {1})), 0) << "80 and what follows is not there";
  EXPECT_EQ(pages.adopt(table, joined(ids(128), {1})), 128);
  EXPECT_EQ(table.groups[1].n_left, 6);
  EXPECT_THAT(pages_of(table, 1), ElementsAre(0, 0, 0, 0, 0, 0, ::testing::_, ::testing::_));
  pages.check(std::vector<const PageTable*>{&table, &other});
}

// A page of a window that was forgotten comes back when its tokens are run again.
TEST(Pages, WindowsAreFilledUpAgain) {
  Pages pages = with_window(20, 20, 4);
  PageTable table;
  run(pages, table, ids(128), 16);
  pages.retire(table, ids(128));
  ASSERT_EQ(pages.n_adoptable(joined(ids(48), {1})), 0);
  run(pages, table, joined(ids(48), {1}), 16);
  EXPECT_EQ(pages.n_adoptable(joined(ids(48), {2})), 48);
  pages.check(std::vector<const PageTable*>{&table});
}

TEST(Pages, AForkSharesFullPagesAndCopiesTheLast) {
  Pages pages = with_window(20, 6, 4);
  PageTable table;
  run(pages, table, ids(36), 36);
  ASSERT_TRUE(pages.grow(table, 50));
  pages.slide(table, 36);
  std::vector<std::vector<int64_t>> copies;
  const PageCopy copy = [&](size_t group, PageId from, PageId to) {
    copies.push_back({static_cast<int64_t>(group), from, to});
  };
  const auto forked = pages.fork(table, 36, copy);
  ASSERT_TRUE(forked);
  EXPECT_THAT(pages_of(*forked), ElementsAre(0, 1, 4));
  EXPECT_THAT(pages_of(*forked, 1), ElementsAre(0, 1, 0));
  EXPECT_THAT(copies, ElementsAre(ElementsAre(0, 2, 4), ElementsAre(1, 2, 0)));
  pages.check(std::vector<const PageTable*>{&table, &*forked});
  EXPECT_FALSE(pages.fork(table, 36, copy)) << "the window has no page left";
  EXPECT_EQ(copies.size(), 2u);
  const auto at_a_boundary = pages.fork(table, 32, copy);
  ASSERT_TRUE(at_a_boundary) << "nothing has to be copied";
  EXPECT_THAT(pages_of(*at_a_boundary), ElementsAre(0, 1));
  EXPECT_EQ(copies.size(), 2u);
}

TEST(Pages, CheckFindsALostPage) {
  Pages pages(4);
  PageTable table;
  ASSERT_TRUE(pages.grow(table, 20));
  EXPECT_NO_THROW(pages.check(std::vector<const PageTable*>{&table}));
  fixtures::expect_error(ErrorCode::kInternal, {"page 0", "1 users, not 0"},
                         [&] { pages.check({}); });
  PageTable twice = table;
  fixtures::expect_error(ErrorCode::kInternal, {"page 0", "1 users, not 2"}, [&] {
    pages.check(std::vector<const PageTable*>{&table, &twice});
  });
}

// Near pages (group 1): a tail of 32 tokens and the first page.
Pages with_near(int64_t n_pages, int64_t n_near_pages) {
  return Pages({0, 32}, std::vector<int64_t>{n_pages, n_near_pages}, {.group = 1, .n_sinks = 1});
}

TEST(NearPages, TheFirstPageAndTheTailAreKept) {
  Pages pages = with_near(20, 20);
  PageTable table;
  run(pages, table, ids(160), 16);
  pages.slide(table, 160);
  const PageTable::Group& near = table.groups[1];
  EXPECT_EQ(near.n_left, 8) << "the window of 32 begins at token 129";
  EXPECT_TRUE(near.has(0));
  EXPECT_FALSE(near.has(1));
  EXPECT_EQ(near.begin_tokens(), 128);
  pages.check(std::vector<const PageTable*>{&table});
  pages.release(table);
  EXPECT_EQ(pages.n_available(1), 20);
}

TEST(NearPages, AConversationGoesOnWithAllOfItsTail) {
  Pages pages = with_near(20, 20);
  PageTable table;
  run(pages, table, ids(160), 16);
  pages.retire(table, ids(160));
  PageTable next;
  EXPECT_EQ(pages.adopt(next, ids(200)), 160);
  EXPECT_LE(next.groups[1].begin_tokens(), 128);
}

// What begins like another and goes on differently finds no near pages where it leaves it: it
// computes a tail again, not the whole.
TEST(NearPages, ABeginningIsSharedWithoutItsTail) {
  Pages pages = with_near(40, 4);  // what is left is overwritten at once
  PageTable table;
  run(pages, table, ids(320), 16);
  pages.retire(table, ids(320));
  const std::vector<int32_t> other = joined(ids(160), ids(60, 5000));
  PrefixReport report;
  PageTable next;
  EXPECT_EQ(pages.n_adoptable(other), 128);
  EXPECT_EQ(pages.adopt(next, other, &report), 128);
  EXPECT_EQ(report.why, PrefixReport::Why::kDiffers);
  EXPECT_EQ(report.n_tokens, 160);
  EXPECT_EQ(next.groups[1].begin_tokens(), 128) << "near pages begin where it begins to compute";
  EXPECT_TRUE(next.groups[1].has(0));
  // What it computes again is exchanged for what is known, and its near pages are told.
  pages.slide(next, 128);
  ASSERT_TRUE(pages.grow(next, 160));
  pages.publish(next, std::span(other).first(160));
  EXPECT_EQ(next.n_indexed, 10);
  pages.check(std::vector<const PageTable*>{&next});
  pages.release(next);
}

// Shorter than a tail: there is nothing to share but with near pages.
TEST(NearPages, ShortBeginningsAreSharedWithTheirNearPages) {
  Pages pages = with_near(20, 20);
  PageTable table;
  run(pages, table, ids(40), 16);
  PageTable next;
  EXPECT_EQ(pages.adopt(next, joined(ids(32), ids(9, 700))), 32);
  EXPECT_EQ(next.groups[1].begin_tokens(), 0);
  pages.release(next);
  pages.release(table);
}

// Many conversations after one system prompt: its first near page outlives their tails.
TEST(NearPages, SinksAreForgottenLast) {
  Pages pages = with_near(400, 6);
  const std::vector<int32_t> system = ids(96);
  for (int32_t n = 0; n < 20; ++n) {
    const std::vector<int32_t> tokens = joined(system, ids(100, 1000 * (n + 1)));
    EXPECT_GE(pages.n_adoptable(tokens), n == 0 ? 0 : 64) << n;
    PageTable table;
    run(pages, table, tokens, 16);
    pages.retire(table, tokens);
  }
}

// Group 1 is slots for states.
TEST(States, ATableHasOneSlotWhateverItsLength) {
  const std::vector<int64_t> n_pages = {20, 2};
  Pages pages({0, 1}, n_pages, {}, 1);
  EXPECT_FALSE(pages.shares());
  PageTable first;
  PageTable second;
  PageTable third;
  EXPECT_EQ(pages.adopt(first, std::vector<int32_t>(40, 7)), 0);
  ASSERT_TRUE(pages.grow(first, 5));
  ASSERT_TRUE(pages.grow(first, 100));
  EXPECT_EQ(first.groups[1].pages.size(), 1u);
  ASSERT_TRUE(pages.grow(second, 16));
  EXPECT_EQ(pages.most_tokens(third), 0) << "no slot is left";
  EXPECT_FALSE(pages.grow(third, 1));
  EXPECT_EQ(pages.most_tokens(second), 13 * kKvBlockTokens) << "those that have one grow on";
  pages.slide(first, 90);
  EXPECT_NE(first.groups[1].pages[0], second.groups[1].pages[0]);
  const PageTable* const both[] = {&first, &second};
  pages.check(both);
  pages.publish(first, std::vector<int32_t>(90, 7));
  EXPECT_EQ(pages.n_adoptable(std::vector<int32_t>(90, 7)), 0);
  pages.retire(second, std::vector<int32_t>(16, 7));
  EXPECT_EQ(pages.n_available(1), 1);
  EXPECT_EQ(pages.adopt(third, std::vector<int32_t>(90, 7)), 0);
  EXPECT_TRUE(pages.grow(third, 1));
}

TEST(States, ForksCopyTheState) {
  const std::vector<int64_t> n_pages = {20, 2};
  Pages pages({0, 1}, n_pages, {}, 1);
  PageTable table;
  ASSERT_TRUE(pages.grow(table, 32));
  std::vector<std::pair<size_t, PageId>> copied;
  const PageCopy copy = [&](size_t group, PageId from, PageId to) {
    EXPECT_NE(from, to);
    copied.emplace_back(group, from);
  };
  auto fork = pages.fork(table, 32, copy);  // at the end of a page, of which nothing is copied
  ASSERT_TRUE(fork.has_value());
  EXPECT_EQ(copied, (std::vector<std::pair<size_t, PageId>>{{1, table.groups[1].pages[0]}}));
  EXPECT_FALSE(pages.fork(table, 32, copy).has_value()) << "there are two slots";
  pages.release(*fork);
  EXPECT_TRUE(pages.fork(table, 32, copy).has_value());
}

TEST(States, AreKeptBehindPromptsAndEnds) {
  const std::vector<int64_t> n_pages = {20, 3};
  Pages pages({0, 1}, n_pages, {}, 1);
  std::vector<std::pair<PageId, PageId>> copied;
  pages.keep_states([&](size_t group, PageId from, PageId to) {
    EXPECT_EQ(group, 1u);
    copied.emplace_back(from, to);
  });
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 60; ++i) tokens.push_back(i);
  const auto first_n = [&](size_t n) { return std::span(tokens).first(n); };
  PageTable table;
  ASSERT_TRUE(pages.grow(table, 32));
  pages.keep_state(table, first_n(32), Reuse::kLikely);
  EXPECT_TRUE(copied.empty()) << "nothing says that these tokens were run";
  pages.publish(table, first_n(32));
  EXPECT_EQ(pages.n_adoptable(tokens), 0) << "the pages are there, no state is";
  pages.keep_state(table, first_n(32), Reuse::kLikely);
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].first, table.groups[1].pages[0]);
  EXPECT_EQ(pages.n_adoptable(tokens), 32);
  // It goes on, and ends within a page: there a sequence goes on with its own slot.
  ASSERT_TRUE(pages.grow(table, 53));
  pages.publish(table, first_n(53));
  pages.keep_state(table, first_n(53), Reuse::kLikely);
  EXPECT_EQ(copied.size(), 1u) << "not at the end of a page";
  const PageId own = table.groups[1].pages[0];
  pages.retire(table, first_n(53));
  EXPECT_EQ(pages.n_adoptable(tokens), 53);
  EXPECT_EQ(pages.n_adoptable(first_n(53)), 32) << "a state cannot be cut back";
  PageTable next;
  EXPECT_EQ(pages.adopt(next, tokens), 53);
  EXPECT_EQ(next.groups[1].pages, std::vector<PageId>{own});
  PageTable beside;
  EXPECT_EQ(pages.adopt(beside, tokens), 32);
  ASSERT_EQ(copied.size(), 2u);
  EXPECT_EQ(copied[1].first, copied[0].second);
  // Without a slot for a copy the kept state itself goes to the sequence.
  PageTable last;
  EXPECT_EQ(pages.adopt(last, tokens), 32);
  EXPECT_EQ(copied.size(), 2u);
  EXPECT_EQ(last.groups[1].pages[0], copied[0].second);
  EXPECT_EQ(pages.n_adoptable(tokens), 0);
  const PageTable* const all[] = {&next, &beside, &last};
  pages.check(all);
  PageTable none;
  EXPECT_FALSE(pages.grow(none, 1));
  // A step that failed: what is in the slot is no state of what was cached.
  ASSERT_TRUE(pages.grow(next, 60));
  pages.retire(next, first_n(53));
  EXPECT_EQ(pages.n_adoptable(tokens), 0);
  pages.release(beside);
  pages.retire(last, first_n(32));
  EXPECT_EQ(pages.n_adoptable(tokens), 32);
  pages.check({});
}

}  // namespace
}  // namespace tq
