// GgufMetadata: how the functions that make a config (gguf_config.h) ask a file for its metadata.
#pragma once

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "io/gguf/gguf_file.h"

namespace tq {

// The metadata of one architecture ("llama.block_count" is asked for as "block_count"). Remembers
// what was asked for, so that keys nobody understood can be refused. Of one gguf_config() call.
class GgufMetadata {
 public:
  GgufMetadata(const GgufFile& file, std::string_view arch, std::span<const std::string> ignored)
      : file_(file), prefix_(std::string(arch) + "."), ignored_(ignored.begin(), ignored.end()) {
    for (const std::string& key : ignored) {
      if (file.has(key)) {
        warn("{}: metadata key {} is ignored", file.name(), key);
      } else {
        warn("{}: there is no metadata key {} to ignore", file.name(), key);
      }
    }
  }

  const GgufFile& file() const { return file_; }

  // A size: a positive integer.
  int64_t size(std::string_view name) { return require(size_if(name), name); }
  std::optional<int64_t> size_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.integer(key);
    if (value && (*value <= 0 || *value > std::numeric_limits<int32_t>::max())) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return value;
  }
  // A positive finite number, as the shortest decimal that is the stored f32: 1e-05.
  double positive(std::string_view name) { return require(positive_if(name), name); }
  std::optional<double> positive_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.number(key);
    if (!value) return std::nullopt;
    if (!std::isfinite(*value) || *value <= 0) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return shortest(*value);
  }
  // An integer from 0.
  std::optional<int64_t> integer_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.integer(key);
    if (value && (*value < 0 || *value > std::numeric_limits<int32_t>::max())) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return value;
  }
  // A finite number, written likewise.
  std::optional<double> number_if(std::string_view name) {
    const std::string key = use(name);
    const auto value = file_.number(key);
    if (!value) return std::nullopt;
    if (!std::isfinite(*value)) {
      fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}", file_.name(), key, *value);
    }
    return shortest(*value);
  }
  std::optional<std::string_view> string_if(std::string_view name) {
    return file_.string(use(name));
  }
  std::optional<std::vector<int64_t>> integers_if(std::string_view name) {
    return file_.integers(use(name));
  }
  std::optional<bool> boolean_if(std::string_view name) { return file_.boolean(use(name)); }
  bool is_array(std::string_view name) { return file_.is_array(use(name)); }

  // For keys that mean nothing here, and keys of which one value is understood.
  void ignore(std::string_view name) { use(name); }
  void expect_size(std::string_view name, int64_t value) {
    const auto found = size_if(name);
    if (found && *found != value) unsupported(name, fmt::format("{}, not {}", *found, value));
  }
  void expect_number(std::string_view name, double value) {
    const auto found = file_.number(use(name));
    if (found && *found != value) unsupported(name, fmt::format("{}, not {}", *found, value));
  }
  // The integer of each of n layers, where the file has one for each or one for all.
  std::vector<int64_t> sizes(std::string_view name, int64_t n) {
    if (!is_array(name)) return std::vector<int64_t>(static_cast<size_t>(n), size(name));
    std::vector<int64_t> values = integers_if(name).value();
    if (static_cast<int64_t>(values.size()) != n) {
      unsupported(name, fmt::format("of {} layers, not {}", values.size(), n));
    }
    for (const int64_t value : values) {
      if (value > 0 && value <= std::numeric_limits<int32_t>::max()) continue;
      fail(ErrorCode::kCorrupt, "{}: metadata key {} holds {}", file_.name(), full(name), value);
    }
    return values;
  }
  void expect_zero(std::string_view name) {
    const auto found = file_.integer(use(name));
    if (found && *found != 0) unsupported(name, fmt::format("{}, not 0", *found));
  }
  void refuse_unread() const {
    for (const std::string_view key : file_.keys()) {
      if (!key.starts_with(prefix_) || used_.contains(key) || ignored_.contains(key)) continue;
      fail(ErrorCode::kUnsupported,
           "{}: metadata key {} is not understood: the model might be computed wrongly; if it "
           "cannot matter, give --ignore-config {}",
           file_.name(), key, key);
    }
  }
  [[noreturn]] void unsupported(std::string_view name, const std::string& what) const {
    fail(ErrorCode::kUnsupported, "{}: metadata key {} is {}: not supported", file_.name(),
         full(name), what);
  }

 private:
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }
  // The whole key; none that a file can have where it is to be ignored.
  std::string use(std::string_view name) {
    std::string key = *used_.insert(full(name)).first;
    return ignored_.contains(key) ? std::string() : key;
  }
  template <typename T>
  T require(const std::optional<T>& value, std::string_view name) const {
    if (!value) {
      fail(ErrorCode::kNotFound, "{}: metadata key {} is missing", file_.name(), full(name));
    }
    return *value;
  }
  static double shortest(double value) {
    const auto single = static_cast<float>(value);
    if (static_cast<double>(single) != value) return value;
    std::array<char, 64> text;
    const char* end = std::to_chars(text.data(), text.data() + text.size(), single).ptr;
    std::from_chars(text.data(), end, value);
    return value;
  }

  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string, std::less<>> used_;
  std::set<std::string, std::less<>> ignored_;
};

}  // namespace tq
