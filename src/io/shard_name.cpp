#include "io/shard_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace tq {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr size_t kMaxMissing = 10;

std::optional<int64_t> number(std::string_view digits) {
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  if (digits.size() != kDigits || result.ec != std::errc() || result.ptr != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<ShardName> parse_shard_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view stem = name.substr(0, dot);
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits;
  if (stem.size() < kTail) return std::nullopt;
  const std::string_view tail = stem.substr(stem.size() - kTail);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto part = number(tail.substr(1, kDigits));
  const auto count = number(tail.substr(kTail - kDigits));
  if (!part || !count || *part < 1 || *part > *count) return std::nullopt;
  return ShardName{stem.substr(0, stem.size() - kTail), *part, *count, name.substr(dot)};
}

std::string shard_name(const ShardName& any, int64_t part) {
  return fmt::format("{}-{:05d}-of-{:05d}{}", any.prefix, part, any.count, any.extension);
}

ShardList list_shards(const std::vector<std::string>& names) {
  ShardList list;
  if (names.empty()) return list;
  const auto first = parse_shard_name(names[0]);
  if (!first) return list;
  for (const std::string& name : names) {
    const auto shard = parse_shard_name(name);
    if (!shard || shard->prefix != first->prefix || shard->count != first->count) return list;
  }
  list.count = first->count;
  for (int64_t part = 1; part <= first->count && list.missing.size() < kMaxMissing; ++part) {
    std::string name = shard_name(*first, part);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      list.missing.push_back(std::move(name));
    }
  }
  return list;
}

}  // namespace tq
