#include "model/config_reader.h"

#include <utility>

#include "base/error.h"
#include "model/harmless_fields.h"

namespace tq {
namespace {

// A value that switches nothing on.
bool says_nothing(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty()) ||
         (value.is_string() && value.get_ref<const std::string&>().empty());
}

// What --ignore-config has before a field of the object that messages call `where`: of
// "config.json: text_config: rope_scaling" it is "rope_scaling.".
std::string option_prefix(std::string_view where) {
  std::string prefix;
  for (size_t at = where.find(": "); at != where.npos; at = where.find(": ")) {
    where.remove_prefix(at + 2);
    const std::string_view name = where.substr(0, where.find(": "));
    if (name != "text_config") prefix += fmt::format("{}.", name);
  }
  return prefix;
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) fail(ErrorCode::kCorrupt, "{}: not a JSON object", where_);
}

const Json* ConfigReader::get(std::string_view key) {
  known_.emplace(key);
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool ConfigReader::has(std::string_view key) const {
  const auto it = object_.find(key);
  return it != object_.end() && !it->is_null();
}

void ConfigReader::missing(std::string_view key) const {
  fail(ErrorCode::kNotFound, "{}: the field \"{}\" is missing", where_, key);
}

void ConfigReader::wrong(std::string_view key, std::string_view expected) const {
  fail(ErrorCode::kCorrupt, "{}: \"{}\" is {}, expected {}", where_, key,
       json_for_message(object_.at(std::string(key))), expected);
}

int64_t ConfigReader::need_integer(std::string_view key, int64_t min, int64_t max) {
  const Json* value = get(key);
  if (value == nullptr) missing(key);
  const auto number = json_integer(*value, min, max);
  if (!number) wrong(key, fmt::format("an integer from {} to {}", min, max));
  return *number;
}

int64_t ConfigReader::need_size(std::string_view key, int64_t max) {
  return need_integer(key, 1, max);
}

int64_t ConfigReader::size_or(std::string_view key, int64_t fallback, int64_t max) {
  return get(key) == nullptr ? fallback : need_integer(key, 1, max);
}

int64_t ConfigReader::count_or(std::string_view key, int64_t fallback, int64_t max) {
  return get(key) == nullptr ? fallback : need_integer(key, 0, max);
}

double ConfigReader::need_positive(std::string_view key) {
  const Json* value = get(key);
  if (value == nullptr) missing(key);
  const auto number = json_float(*value);
  if (!number || *number <= 0) wrong(key, "a number above 0 that fp32 can hold");
  return value->get<double>();
}

double ConfigReader::positive_or(std::string_view key, double fallback) {
  return get(key) == nullptr ? fallback : need_positive(key);
}

bool ConfigReader::bool_or(std::string_view key, bool fallback) {
  const Json* value = get(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

std::string ConfigReader::string_or(std::string_view key, const std::string& fallback) {
  const Json* value = get(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) wrong(key, "a string");
  return value->get<std::string>();
}

std::vector<std::string> ConfigReader::strings(std::string_view key) {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) wrong(key, "a list of strings");
  std::vector<std::string> out;
  for (const Json& item : *value) {
    if (!item.is_string()) wrong(key, "a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<int64_t> ConfigReader::counts(std::string_view key) {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) wrong(key, "a list of integers");
  std::vector<int64_t> out;
  for (const Json& item : *value) {
    const auto number = json_integer(item, 0, kMaxSize);
    if (!number) wrong(key, fmt::format("a list of integers from 0 to {}", kMaxSize));
    out.push_back(*number);
  }
  return out;
}

std::vector<double> ConfigReader::positives(std::string_view key) {
  const Json* value = get(key);
  if (value == nullptr) return {};
  if (!value->is_array()) wrong(key, "a list of numbers");
  std::vector<double> out;
  for (const Json& item : *value) {
    const auto number = json_float(item);
    if (!number || *number <= 0) wrong(key, "a list of numbers above 0 that fp32 can hold");
    out.push_back(item.get<double>());
  }
  return out;
}

std::vector<std::string> ConfigReader::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : object_.items()) out.push_back(key);
  return out;
}

ConfigReader ConfigReader::object(std::string_view key) {
  const Json* value = get(key);
  if (value == nullptr) missing(key);
  return ConfigReader(*value, where_ + ": " + std::string(key));
}

void ConfigReader::expect(std::string_view key, std::string_view only) {
  const Json* value = get(key);
  if (value == nullptr || *value == only) return;
  fail(ErrorCode::kUnsupported, "{}: \"{}\" is {}; only \"{}\" is supported", where_, key,
       json_for_message(*value), only);
}

void ConfigReader::expect(std::string_view key, double only) {
  const Json* value = get(key);
  if (value == nullptr || (value->is_number() && value->get<double>() == only)) return;
  fail(ErrorCode::kUnsupported, "{}: \"{}\" is {}; only {} is supported", where_, key,
       json_for_message(*value), only);
}

void ConfigReader::ignore(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) known_.emplace(key);
}

void ConfigReader::finish() const {
  std::string unknown;
  std::string options;
  for (const auto& [key, value] : object_.items()) {
    if (known_.contains(key) || says_nothing(value) || is_harmless_field(key)) continue;
    unknown +=
        fmt::format("{}\"{}\" = {}", unknown.empty() ? "" : ", ", key, json_for_message(value));
    options += fmt::format(" --ignore-config {}{}", option_prefix(where_), key);
  }
  if (!unknown.empty()) {
    fail(ErrorCode::kUnsupported,
         "{}: unknown field {}: it may change what the model computes, so it is not ignored; if it "
         "cannot, give{}",
         where_, unknown, options);
  }
}

}  // namespace tq
