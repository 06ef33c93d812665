#include "hub/file_ranges.h"

#include <algorithm>

namespace tq {

void FileRanges::add(FileRange range) {
  if (range.begin >= range.end) return;
  // Those that end before it begins stay, those that touch it become one with it.
  const auto first = std::lower_bound(ranges_.begin(), ranges_.end(), range.begin,
                                      [](const FileRange& a, int64_t at) { return a.end < at; });
  auto last = first;
  while (last != ranges_.end() && last->begin <= range.end) {
    range.begin = std::min(range.begin, last->begin);
    range.end = std::max(range.end, last->end);
    ++last;
  }
  ranges_.insert(ranges_.erase(first, last), range);
}

int64_t FileRanges::total() const {
  int64_t sum = 0;
  for (const FileRange& range : ranges_) sum += range.size();
  return sum;
}

int64_t FileRanges::prefix() const {
  return ranges_.empty() || ranges_.front().begin > 0 ? 0 : ranges_.front().end;
}

std::optional<FileRange> FileRanges::first_gap(int64_t size, int64_t most) const {
  int64_t begin = 0;
  int64_t end = size;
  for (const FileRange& range : ranges_) {
    if (range.begin > begin) {
      end = std::min(end, range.begin);
      break;
    }
    begin = range.end;
  }
  if (begin >= end) return std::nullopt;
  return FileRange{begin, std::min(end, begin + most)};
}

}  // namespace tq
