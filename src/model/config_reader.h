// ConfigReader: reads a Hugging Face config so that nothing in it is silently ignored. Every field
// an architecture asks for is marked as known; finish() refuses the rest unless it is harmless
// (harmless_fields.h) or says nothing (null, false, empty). Used within one make_spec call, by one
// thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

class ConfigReader {
 public:
  static constexpr int64_t kMaxSize = int64_t{1} << 30;

  // where: what messages call this object, e.g. "config.json" or "config.json: rope_scaling".
  // Throws kCorrupt when it is not an object. The JSON must outlive the reader.
  ConfigReader(const Json& object, std::string where);

  // True when the field is there and not null.
  bool has(std::string_view key) const;

  // In all of these null counts as missing; kNotFound is thrown when a needed field is missing,
  // kCorrupt when a value has the wrong type or range.
  // Sizes and counts: integers from 1 to max.
  int64_t need_size(std::string_view key, int64_t max = kMaxSize);
  int64_t size_or(std::string_view key, int64_t fallback, int64_t max = kMaxSize);
  // Likewise, but from 0: numbers of things that a model may do without.
  int64_t count_or(std::string_view key, int64_t fallback, int64_t max = kMaxSize);
  // Numbers above 0, as all numbers of configs that are computed with are; fp32 can hold them.
  double need_positive(std::string_view key);
  double positive_or(std::string_view key, double fallback);
  bool bool_or(std::string_view key, bool fallback);
  std::string string_or(std::string_view key, const std::string& fallback);
  // A list of strings; empty when missing.
  std::vector<std::string> strings(std::string_view key);
  // A list of integers from 0; empty when missing.
  std::vector<int64_t> counts(std::string_view key);
  // A list of numbers above 0; empty when missing.
  std::vector<double> positives(std::string_view key);

  // The names of all fields, for objects that map names of their own.
  std::vector<std::string> keys() const;
  // A nested object; has(key) must hold.
  ConfigReader object(std::string_view key);

  // Refuses (kUnsupported) any value but `only`, the one value that is computed. Missing is fine.
  void expect(std::string_view key, std::string_view only);
  void expect(std::string_view key, double only);

  // Marks fields as known that do not change what a forward pass computes.
  void ignore(std::initializer_list<std::string_view> keys);
  // Throws kUnsupported naming every field that is not known, not harmless in all Hugging Face
  // configs, and not null, false or empty.
  void finish() const;

  const std::string& where() const { return where_; }

 private:
  // Marks the key as known; null when missing or null.
  const Json* get(std::string_view key);
  int64_t need_integer(std::string_view key, int64_t min, int64_t max);
  [[noreturn]] void missing(std::string_view key) const;
  [[noreturn]] void wrong(std::string_view key, std::string_view expected) const;

  const Json& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace tq
