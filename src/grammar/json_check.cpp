#include "grammar/json_check.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "grammar/builder.h"
#include "grammar/regex.h"
#include "grammar/same_json.h"

namespace tq {
namespace {

constexpr int kMostSteps = 1'000'000;
constexpr int kMostCheckDepth = 200;

// Exact for all that a schema's numbers are read as, on CPUs with an 80-bit type.
long double number_of(const Json& number) {
  if (number.is_number_unsigned()) return static_cast<long double>(number.get<uint64_t>());
  if (number.is_number_integer()) return static_cast<long double>(number.get<int64_t>());
  return static_cast<long double>(number.get<double>());
}

int64_t n_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (!value.is_number()) return false;
  return type == "number" || number_of(value) == std::floor(number_of(value));
}

// A keyword's count against the number of what it counts.
bool allows_count(bool is_least, const Json& limit, int64_t n) {
  const auto count = json_integer(limit, 0, int64_t{1} << 53);
  return !count || (is_least ? n >= *count : n <= *count);
}

}  // namespace

void SchemaCheck::spend(const std::string& where, int64_t steps) {
  n_steps_ += steps;
  if (n_steps_ > kMostSteps || depth_ > kMostCheckDepth) {
    fail(ErrorCode::kUnsupported,
         "schema {}: enum and const hold too much for the keywords beside them, or these name each "
         "other in a circle",
         where);
  }
}

bool SchemaCheck::is_same(const Json& a, const Json& b, const std::string& where) {
  int64_t n_seen = 0;
  const bool same = same_json(a, b, &n_seen);
  spend(where, n_seen);
  return same;
}

bool SchemaCheck::allows(const Json& schema, const Json& value, const std::string& where) {
  spend(where);
  if (schema.is_boolean()) return schema.get<bool>();
  if (!schema.is_object()) {
    fail(ErrorCode::kInvalidArgument, "schema {}: {} is no schema", where,
         json_for_message(schema));
  }
  const auto types = schema_types(schema, where);
  if (std::none_of(types.begin(), types.end(),
                   [&](const std::string& type) { return is_of_type(value, type); })) {
    return false;
  }
  ++depth_;
  bool allowed = true;
  for (auto entry = schema.begin(); allowed && entry != schema.end(); ++entry) {
    if (!is_annotation(entry.key())) allowed = allows_keyword(schema, entry.key(), value, where);
  }
  --depth_;
  return allowed;
}

bool SchemaCheck::allows_keyword(const Json& schema, const std::string& key, const Json& value,
                                 const std::string& where) {
  const Json& limit = schema.at(key);
  if (key == "type" || key == "format") return true;
  if (key == "const") return is_same(value, limit, where);
  if (key == "enum") {
    return std::any_of(limit.begin(), limit.end(),
                       [&](const Json& item) { return is_same(item, value, where); });
  }
  if (key == "$ref") return allows(merger_.target(limit, where), value, where);
  if (key == "allOf") return allows_any(limit, value, where + "/allOf", true);
  if (key == "anyOf" || key == "oneOf") {
    return allows_any(limit, value, where + "/" + key, false);
  }
  if (key == "minimum" || key == "maximum" || key == "exclusiveMinimum" ||
      key == "exclusiveMaximum") {
    return !value.is_number() || allows_number(key, limit, value);
  }
  if (key == "minLength" || key == "maxLength" || key == "pattern") {
    return !value.is_string() || allows_text(key, limit, value.get_ref<const std::string&>());
  }
  if (key == "properties" || key == "required" || key == "additionalProperties" ||
      key == "minProperties" || key == "maxProperties") {
    return !value.is_object() || allows_members(schema, key, value, where);
  }
  if (key == "items" || key == "prefixItems" || key == "additionalItems" || key == "minItems" ||
      key == "maxItems" || key == "uniqueItems") {
    return !value.is_array() || allows_items(schema, key, value, where);
  }
  fail(ErrorCode::kUnsupported, "schema {}: {} is not supported", where, key);
}

bool SchemaCheck::allows_any(const Json& list, const Json& value, const std::string& where,
                             bool all) {
  if (!list.is_array() || list.empty()) {
    fail(ErrorCode::kInvalidArgument, "schema {}: is no list of schemas", where);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (allows(list[i], value, fmt::format("{}/{}", where, i)) != all) return !all;
  }
  return all;
}

bool SchemaCheck::allows_number(const std::string& key, const Json& limit, const Json& value) {
  if (!limit.is_number()) return true;
  const long double number = number_of(value);
  const long double bound = number_of(limit);
  if (key == "minimum") return number >= bound;
  if (key == "maximum") return number <= bound;
  return key == "exclusiveMinimum" ? number > bound : number < bound;
}

bool SchemaCheck::allows_text(const std::string& key, const Json& limit, const std::string& text) {
  if (key != "pattern") return allows_count(key == "minLength", limit, n_characters(text));
  if (!limit.is_string()) return true;
  const auto& pattern = limit.get_ref<const std::string&>();
  const auto [found, is_new] = patterns_.try_emplace(pattern);
  if (is_new) {
    GrammarBuilder builder;
    const GrammarExpr made = add_regex(builder, pattern, {.chars = nullptr, .searches = true});
    if (!builder.is_never(made)) found->second = builder.compile(made);
  }
  return found->second != nullptr && found->second->matches(text);
}

bool SchemaCheck::allows_members(const Json& schema, const std::string& key, const Json& value,
                                 const std::string& where) {
  const Json& limit = schema.at(key);
  if (key == "minProperties" || key == "maxProperties") {
    return allows_count(key == "minProperties", limit, static_cast<int64_t>(value.size()));
  }
  if (key == "required") {
    return std::all_of(limit.begin(), limit.end(), [&](const Json& name) {
      return !name.is_string() || value.contains(name.get_ref<const std::string&>());
    });
  }
  const auto properties = schema.find("properties");
  for (const auto& [name, member] : value.items()) {
    const bool is_known =
        properties != schema.end() && properties->is_object() && properties->contains(name);
    if (is_known != (key == "properties")) continue;
    const Json& own = is_known ? properties->at(name) : limit;
    if (!allows(own, member, where + "/" + key)) return false;
  }
  return true;
}

bool SchemaCheck::allows_items(const Json& schema, const std::string& key, const Json& value,
                               const std::string& where) {
  const Json& limit = schema.at(key);
  if (key == "minItems" || key == "maxItems") {
    return allows_count(key == "minItems", limit, static_cast<int64_t>(value.size()));
  }
  if (key == "uniqueItems") {
    if (limit != Json(true)) return true;
    for (size_t i = 0; i < value.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (is_same(value[i], value[j], where)) return false;
      }
    }
    return true;
  }
  const bool is_first = key == "prefixItems" || (key == "items" && limit.is_array());
  const SchemaItems items = schema_items(schema);
  const size_t n_first = std::min(items.first->size(), value.size());
  const size_t begin = is_first ? 0 : n_first;
  const size_t end = is_first ? n_first : value.size();
  for (size_t i = begin; i < end; ++i) {
    const Json& own = is_first ? (*items.first)[i] : *items.others;
    if (!allows(own, value[i], where + "/" + key)) return false;
  }
  return true;
}

}  // namespace tq
