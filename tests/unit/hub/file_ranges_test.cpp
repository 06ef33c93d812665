#include "hub/file_ranges.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace tq {
namespace {

TEST(FileRanges, GapsAndPrefix) {
  FileRanges ranges;
  EXPECT_EQ(ranges.first_gap(10, 4), (FileRange{0, 4}));
  EXPECT_EQ(ranges.first_gap(0, 4), std::nullopt);
  ranges.add({4, 6});
  EXPECT_EQ(ranges.first_gap(10, 100), (FileRange{0, 4}));
  EXPECT_EQ(ranges.prefix(), 0);
  ranges.add({0, 4});
  EXPECT_EQ(ranges.ranges().size(), 1U);
  EXPECT_EQ(ranges.prefix(), 6);
  EXPECT_EQ(ranges.first_gap(10, 3), (FileRange{6, 9}));
  ranges.add({6, 10});
  EXPECT_EQ(ranges.first_gap(10, 3), std::nullopt);
  EXPECT_EQ(ranges.total(), 10);
}

// Against a plain set of bytes.
RC_GTEST_PROP(FileRanges, IsASetOfBytes, ()) {
  constexpr int kSize = 40;
  std::vector<bool> bytes(kSize);
  FileRanges ranges;
  for (const auto& [a, b] : *rc::gen::container<std::vector<std::pair<int, int>>>(
           rc::gen::pair(rc::gen::inRange(0, kSize + 1), rc::gen::inRange(0, kSize + 1)))) {
    ranges.add({a, b});
    for (int i = a; i < b; ++i) bytes[static_cast<size_t>(i)] = true;
  }
  int64_t before = -1;
  std::vector<bool> found(kSize);
  for (const FileRange& range : ranges.ranges()) {
    RC_ASSERT(range.begin > before && range.end > range.begin);  // none touch
    before = range.end;
    for (int64_t i = range.begin; i < range.end; ++i) found[static_cast<size_t>(i)] = true;
  }
  RC_ASSERT(found == bytes);
  const auto n = static_cast<int64_t>(std::count(bytes.begin(), bytes.end(), true));
  RC_ASSERT(ranges.total() == n);
  const auto gap = ranges.first_gap(kSize, 7);
  RC_ASSERT(gap.has_value() == (n < kSize));
  const auto first = std::find(bytes.begin(), bytes.end(), false) - bytes.begin();
  RC_ASSERT(ranges.prefix() == first);
  if (!gap) return;
  RC_ASSERT(gap->begin == first && gap->size() >= 1 && gap->size() <= 7);
  for (int64_t i = gap->begin; i < gap->end; ++i) RC_ASSERT(!bytes[static_cast<size_t>(i)]);
}

}  // namespace
}  // namespace tq
