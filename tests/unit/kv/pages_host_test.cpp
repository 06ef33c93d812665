// What Pages brings back from host memory beside near pages.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "kv/pages.h"

namespace tq {
namespace {

// What pages hold is of no interest here.
struct NoMover : PageMover {
  void save(size_t, PageId, std::byte*) override {}
  void load(size_t, PageId, const std::byte*) override {}
};

void run_steps(Pages& pages, PageTable& table, std::span<const int32_t> tokens, bool tells) {
  constexpr size_t kStep = kKvBlockTokens;
  for (auto n = static_cast<size_t>(tells ? pages.adopt(table, tokens) : 0); n < tokens.size();) {
    pages.slide(table, static_cast<int64_t>(n));
    n = std::min(n + kStep, tokens.size());
    ASSERT_TRUE(pages.grow(table, static_cast<int64_t>(n)));
    if (tells) pages.publish(table, tokens.first(n));
  }
  pages.slide(table, static_cast<int64_t>(tokens.size()));
}

// Host memory has two pages more of a sequence, and of near pages only a part of the tail at their
// end: bringing it would take the place of the tail that is here.
TEST(PagesOnHost, APartOfATailDoesNotTakeThePlaceOfAWholeOne) {
  Pages pages({0, 48}, std::vector<int64_t>{20, 6}, {.group = 1, .n_sinks = 1});
  HostPages host(Buffer(4096), {16, 16});
  NoMover mover;
  pages.keep_on_host(host, mover);
  std::vector<int32_t> tokens(300);
  std::iota(tokens.begin(), tokens.end(), 0);
  const std::span<const int32_t> all = tokens;

  // 14 pages, with near pages of the last three; the last four of all go to host memory.
  PageTable table;
  run_steps(pages, table, all.first(224), true);
  pages.retire(table, all.first(224));
  run_steps(pages, table, all.first(160), false);
  pages.release(table);
  ASSERT_EQ(pages.n_adoptable(all), 112) << "10 pages, of which a tail is computed again";
  // The first ten are used by one that ends there.
  run_steps(pages, table, all.first(160), true);
  pages.retire(table, all.first(160));
  // All near pages are in use or kept.
  PageTable other;
  const int64_t n_free = pages.n_available(1) - pages.n_kept(1);
  ASSERT_TRUE(pages.grow(other, (n_free + 1) * kKvBlockTokens));

  std::vector<int32_t> prompt(all.begin(), all.begin() + 192);
  prompt.resize(230, 1000);
  ASSERT_EQ(pages.n_adoptable(prompt), 160);
  PageTable next;
  EXPECT_EQ(pages.adopt(next, prompt), 160);
  EXPECT_LE(next.groups[1].begin_tokens(), 160 - 48);
  pages.check(std::vector<const PageTable*>{&other, &next});
}

}  // namespace
}  // namespace tq
