// FileRanges: which bytes of a file are there. Plain value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

// Bytes [begin, end).
struct FileRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool operator==(const FileRange&) const = default;
};

class FileRanges {
 public:
  // Empty ranges change nothing.
  void add(FileRange range);
  void clear() { ranges_.clear(); }
  // In order, neither touching nor empty.
  const std::vector<FileRange>& ranges() const { return ranges_; }
  int64_t total() const;
  // How many bytes from the first on are there without a gap.
  int64_t prefix() const;
  // The first bytes of [0, size) that are not there, `most` at most; nothing where all are.
  std::optional<FileRange> first_gap(int64_t size, int64_t most) const;

 private:
  std::vector<FileRange> ranges_;
};

}  // namespace tq
