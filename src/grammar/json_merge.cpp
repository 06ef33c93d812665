#include "grammar/json_merge.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"
#include "grammar/same_json.h"

namespace tq {
namespace {

constexpr int kMostMerges = 4000;
constexpr int kMostDepth = 64;
constexpr int64_t kComparisonsOfMerge = 10'000;  // of values take a merge's time

constexpr std::array<std::string_view, 21> kAnnotations = {"$schema",
                                                           "$comment",
                                                           "$defs",
                                                           "definitions",
                                                           "$vocabulary",
                                                           "$anchor",
                                                           "title",
                                                           "description",
                                                           "default",
                                                           "examples",
                                                           "example",
                                                           "deprecated",
                                                           "readOnly",
                                                           "writeOnly",
                                                           "contentEncoding",
                                                           "contentMediaType",
                                                           "contentSchema",
                                                           "discriminator",
                                                           "externalDocs",
                                                           "xml",
                                                           "$id"};

// Of the two bounds the larger holds, or the smaller.
constexpr std::array<std::string_view, 5> kLower = {"minimum", "exclusiveMinimum", "minLength",
                                                    "minItems", "minProperties"};
constexpr std::array<std::string_view, 5> kUpper = {"maximum", "exclusiveMaximum", "maxLength",
                                                    "maxItems", "maxProperties"};

template <typename List>
bool has(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool is_number_schema(const std::vector<std::string>& types, const std::string& type) {
  return type == "integer" && has(types, "number");
}

// Types that both allow.
Json common_types(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  Json out = Json::array();
  for (const std::string& type : a) {
    if (has(b, type) || is_number_schema(b, type)) out.push_back(type);
  }
  for (const std::string& type : b) {
    if (!has(a, type) && is_number_schema(a, type)) out.push_back(type);
  }
  return out;
}

// ~1 and ~0 of a JSON pointer, %41 of an address.
std::string decoded(std::string_view part) {
  std::string text;
  for (size_t i = 0; i < part.size(); ++i) {
    const auto digit = [&](size_t at) { return at < part.size() ? hex_digit(part[at]) : -1; };
    if (part[i] == '%' && digit(i + 1) >= 0 && digit(i + 2) >= 0) {
      text += static_cast<char>(digit(i + 1) * 16 + digit(i + 2));
      i += 2;
    } else {
      text += part[i];
    }
  }
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '~' && i + 1 < text.size() && (text[i + 1] == '0' || text[i + 1] == '1')) {
      out += text[++i] == '0' ? '~' : '/';
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

bool is_annotation(const std::string& keyword) {
  return has(kAnnotations, keyword) || keyword.starts_with("x-");
}

std::vector<std::string> schema_types(const Json& schema, const std::string& where) {
  static const std::vector<std::string> all = {"object", "array",   "string",
                                               "number", "boolean", "null"};
  const auto found = schema.find("type");
  if (found == schema.end()) return all;
  std::vector<std::string> types;
  const Json list = found->is_array() ? *found : Json::array({*found});
  for (const Json& type : list) {
    const bool ok =
        type.is_string() && (type == "integer" || has(all, type.get_ref<const std::string&>()));
    if (!ok) {
      fail(ErrorCode::kInvalidArgument,
           "schema {}: type {} is none of object, array, string, number, integer, boolean, null",
           where, json_for_message(type));
    }
    types.push_back(type.get<std::string>());
  }
  return types;
}

void SchemaMerger::spend(const std::string& where) {
  if (++n_merges_ > kMostMerges || depth_ > kMostDepth) {
    fail(ErrorCode::kUnsupported,
         "schema {}: too many schemas must hold together here (allOf, $ref or anyOf beside other "
         "keywords), or they name each other in a circle",
         where);
  }
}

void SchemaMerger::spend_comparisons(int64_t n_seen, const std::string& where) {
  for (n_seen_ += n_seen; n_seen_ >= kComparisonsOfMerge; n_seen_ -= kComparisonsOfMerge) {
    spend(where);
  }
}

bool SchemaMerger::is_same(const Json& a, const Json& b, const std::string& where) {
  int64_t n_seen = 0;
  const bool same = same_json(a, b, &n_seen);
  spend_comparisons(n_seen, where);
  return same;
}

const Json& SchemaMerger::target(const Json& reference, const std::string& where) const {
  if (!reference.is_string()) {
    fail(ErrorCode::kInvalidArgument, "schema {}: $ref is no text", where);
  }
  const auto& text = reference.get_ref<const std::string&>();
  if (text != "#" && !text.starts_with("#/")) {
    fail(ErrorCode::kUnsupported,
         "schema {}: $ref {}: only places in the same schema are supported (#/$defs/name)", where,
         json_for_message(reference));
  }
  const Json* at = &root_;
  for (size_t begin = 2; begin <= text.size() && text.size() > 1;) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string part = decoded(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    const Json* next = nullptr;
    if (at->is_object()) {
      const auto found = at->find(part);
      if (found != at->end()) next = &*found;
    } else if (at->is_array() && !part.empty() && part.size() < 8 &&
               std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      const auto index = static_cast<size_t>(std::stoul(part));
      if (index < at->size()) next = &(*at)[index];
    }
    if (next == nullptr) {
      fail(ErrorCode::kInvalidArgument, "schema {}: $ref {}: the schema has no such place", where,
           json_for_message(reference));
    }
    at = next;
  }
  return *at;
}

Json SchemaMerger::flat(const Json& schema, const std::string& where) {
  if (!schema.is_object()) return schema;
  Json rest = schema;
  const auto reference = schema.find("$ref");
  const auto all = schema.find("allOf");
  if (reference == schema.end() && all == schema.end()) return rest;
  spend(where);
  rest.erase("$ref");
  rest.erase("allOf");
  ++depth_;
  if (reference != schema.end()) rest = merged(rest, target(*reference, where), where);
  if (all != schema.end()) {
    if (!all->is_array() || all->empty()) {
      fail(ErrorCode::kInvalidArgument, "schema {}: allOf is no list of schemas", where);
    }
    for (size_t i = 0; i < all->size(); ++i) {
      rest = merged(rest, (*all)[i], fmt::format("{}/allOf/{}", where, i));
    }
  }
  --depth_;
  return rest;
}

Json SchemaMerger::merged(const Json& a, const Json& b, const std::string& where) {
  spend(where);
  for (const Json* schema : {&a, &b}) {
    if (!schema->is_boolean() && !schema->is_object()) {
      fail(ErrorCode::kInvalidArgument, "schema {}: {} is no schema", where,
           json_for_message(*schema));
    }
  }
  if (a.is_boolean()) return a.get<bool>() ? flat(b, where) : a;
  if (b.is_boolean()) return b.get<bool>() ? flat(a, where) : b;
  ++depth_;
  Json made = merge_flat(flat(a, where), flat(b, where), where);
  --depth_;
  return made;
}

Json SchemaMerger::merge_flat(Json a, const Json& b, const std::string& where) {
  if (a.is_boolean() || b.is_boolean()) return merged(a, b, where);
  // Alternatives of the one hold with all of the other.
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (!a.contains(keyword) || !(b.contains("anyOf") || b.contains("oneOf"))) continue;
    Json options = Json::array();
    for (const Json& option : a[keyword]) options.push_back(merged(option, b, where));
    a[keyword] = std::move(options);
    return a;
  }
  merge_properties(a, b, where);
  merge_items(a, b, where);
  if (a.contains("type") || b.contains("type")) {
    a["type"] = common_types(schema_types(a, where), schema_types(b, where));
  }
  for (const auto& [key, value] : b.items()) merge_keyword(a, key, value, where);
  return a;
}

void SchemaMerger::merge_keyword(Json& a, const std::string& key, const Json& value,
                                 const std::string& where) {
  constexpr std::array<std::string_view, 6> kDone = {"type",  "properties",  "additionalProperties",
                                                     "items", "prefixItems", "additionalItems"};
  if (has(kDone, key)) return;
  const auto mine = a.find(key);
  if (mine == a.end()) {
    a[key] = value;
  } else if (is_annotation(key) || is_same(*mine, value, where)) {
    return;
  } else if ((has(kLower, key) || has(kUpper, key)) && mine->is_number() && value.is_number()) {
    const bool is_tighter = has(kLower, key) ? value > *mine : value < *mine;
    if (is_tighter) *mine = value;
  } else if (key == "required" && mine->is_array() && value.is_array()) {
    spend_comparisons(static_cast<int64_t>(mine->size() * value.size()), where);
    for (const Json& name : value) {
      if (std::find(mine->begin(), mine->end(), name) == mine->end()) mine->push_back(name);
    }
  } else if (key == "enum" && mine->is_array() && value.is_array()) {
    Json common = Json::array();
    for (const Json& item : *mine) {
      int64_t n_seen = 0;
      if (has_same_json(value, item, &n_seen)) common.push_back(item);
      spend_comparisons(n_seen, where);
    }
    *mine = std::move(common);
  } else if (key == "const") {
    a["enum"] = Json::array();  // nothing is both
  } else {
    fail(ErrorCode::kUnsupported, "schema {}: two different {} that must hold together", where,
         key);
  }
}

void SchemaMerger::merge_properties(Json& a, const Json& b, const std::string& where) {
  const auto part = [](const Json& schema, const char* key) {
    const auto found = schema.find(key);
    return found != schema.end() ? *found : Json(nullptr);
  };
  const Json mine = part(a, "properties");
  const Json other = part(b, "properties");
  const Json my_rest = part(a, "additionalProperties");
  const Json other_rest = part(b, "additionalProperties");
  if (!mine.is_null() || !other.is_null()) {
    for (const Json* properties : {&mine, &other}) {
      if (!properties->is_null() && !properties->is_object()) {
        fail(ErrorCode::kInvalidArgument, "schema {}: properties is no object", where);
      }
    }
    Json made = Json::object();
    const auto add = [&](const std::string& name, const Json& schema, const Json& others,
                         const Json& rest) {
      if (made.contains(name)) return;
      const Json* with = nullptr;
      if (others.is_object() && others.contains(name)) {
        with = &others.at(name);
      } else if (!rest.is_null()) {
        with = &rest;
      }
      made[name] = with == nullptr ? schema : merged(schema, *with, where + "/properties/" + name);
    };
    if (mine.is_object()) {
      for (const auto& [name, schema] : mine.items()) add(name, schema, other, other_rest);
    }
    if (other.is_object()) {
      for (const auto& [name, schema] : other.items()) add(name, schema, mine, my_rest);
    }
    a["properties"] = std::move(made);
  }
  if (my_rest.is_null() && !other_rest.is_null()) a["additionalProperties"] = other_rest;
  if (!my_rest.is_null() && !other_rest.is_null()) {
    a["additionalProperties"] = merged(my_rest, other_rest, where + "/additionalProperties");
  }
}

SchemaItems schema_items(const Json& schema) {
  static const Json none = Json::array();
  static const Json all = true;
  SchemaItems items{&none, &all};
  if (const auto prefix = schema.find("prefixItems"); prefix != schema.end()) {
    if (!prefix->is_array()) {
      fail(ErrorCode::kInvalidArgument, "schema: prefixItems is no list");
    }
    items.first = &*prefix;
    items.any = true;
  }
  if (const auto found = schema.find("items"); found != schema.end()) {
    items.any = true;
    if (found->is_array()) {  // as it was before 2020
      items.first = &*found;
      const auto more = schema.find("additionalItems");
      items.others = more == schema.end() ? &all : &*more;
    } else {
      items.others = &*found;
    }
  }
  return items;
}

void SchemaMerger::merge_items(Json& a, const Json& b, const std::string& where) {
  const SchemaItems mine = schema_items(a);
  const SchemaItems other = schema_items(b);
  if (!other.any && !mine.any) return;
  Json first = Json::array();
  const auto at = [](const SchemaItems& items, size_t i) -> const Json& {
    return i < items.first->size() ? (*items.first)[i] : *items.others;
  };
  for (size_t i = 0; i < std::max(mine.first->size(), other.first->size()); ++i) {
    first.push_back(merged(at(mine, i), at(other, i), fmt::format("{}/items/{}", where, i)));
  }
  Json others = merged(*mine.others, *other.others, where + "/items");
  a.erase("additionalItems");  // of which mine are parts
  a.erase("prefixItems");
  if (!first.empty()) a["prefixItems"] = std::move(first);
  a["items"] = std::move(others);
}

}  // namespace tq
