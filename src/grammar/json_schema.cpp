// JSON schemas as grammars. Objects have their keys in the order of "properties", then those that
// are only in "required", then others; docs/serving.md lists what is supported.
#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "grammar/builder.h"
#include "grammar/json_check.h"
#include "grammar/json_merge.h"
#include "grammar/json_parts.h"
#include "grammar/regex.h"
#include "grammar/same_json.h"

namespace tq {
namespace {

using Expr = GrammarExpr;

// Keywords that say what is allowed and that we know; those of one type only with their type.
struct Keyword {
  std::string_view name;
  std::string_view type;  // empty: of all
};
constexpr std::array<Keyword, 26> kKeywords = {{{"type", ""},
                                                {"enum", ""},
                                                {"const", ""},
                                                {"anyOf", ""},
                                                {"oneOf", ""},
                                                {"allOf", ""},
                                                {"$ref", ""},
                                                {"properties", "object"},
                                                {"required", "object"},
                                                {"additionalProperties", "object"},
                                                {"items", "array"},
                                                {"prefixItems", "array"},
                                                {"additionalItems", "array"},
                                                {"minItems", "array"},
                                                {"maxItems", "array"},
                                                {"minLength", "string"},
                                                {"maxLength", "string"},
                                                {"pattern", "string"},
                                                {"format", "string"},
                                                {"minimum", "number"},
                                                {"maximum", "number"},
                                                {"exclusiveMinimum", "number"},
                                                {"exclusiveMaximum", "number"},
                                                {"uniqueItems", "array"},
                                                {"minProperties", "object"},
                                                {"maxProperties", "object"}}};

const Keyword* find_keyword(std::string_view name) {
  const auto found = std::find_if(kKeywords.begin(), kKeywords.end(),
                                  [&](const Keyword& keyword) { return keyword.name == name; });
  return found == kKeywords.end() ? nullptr : &*found;
}

class SchemaCompiler {
 public:
  SchemaCompiler(GrammarBuilder& builder, const Json& root)
      : builder_(builder), parts_(builder), root_(root), merger_(root) {}

  Expr compile() {
    const Expr whole = compile(root_, "#");
    // Rules are compiled one after the other: a chain of references is no chain of calls.
    while (!todo_.empty()) {
      const auto [where, rule] = todo_.front();
      todo_.pop_front();
      const Json reference = where;
      builder_.define(rule, compile(merger_.target(reference, where), where));
    }
    if (builder_.is_never(whole)) {
      fail(ErrorCode::kInvalidArgument, "schema #: no value is allowed");
    }
    return whole;
  }

 private:
  [[noreturn]] static void refuse(const std::string& where, std::string_view why) {
    fail(ErrorCode::kInvalidArgument, "schema {}: {}", where, why);
  }
  [[noreturn]] static void refuse_kind(const std::string& where, std::string_view what) {
    fail(ErrorCode::kUnsupported, "schema {}: {} not supported", where, what);
  }

  Expr compile(const Json& schema, const std::string& where) {
    if (schema.is_boolean()) return schema.get<bool>() ? parts_.value() : builder_.never();
    if (!schema.is_object()) {
      refuse(where, json_for_message(schema) + " is no schema: an object, true or false");
    }
    if (++depth_ > GrammarLimits::kNesting) {
      refuse(where, fmt::format("schemas are nested more than {} deep", GrammarLimits::kNesting));
    }
    check_keywords(schema, where);
    const Expr made = compile_object_schema(schema, where);
    --depth_;
    return made;
  }

  void check_keywords(const Json& schema, const std::string& where) const {
    for (const auto& [key, value] : schema.items()) {
      if (key == "$id" && where != "#") refuse_kind(where, "$id of a part of the schema is");
      if (find_keyword(key) == nullptr && !is_annotation(key)) refuse_kind(where, key + " is");
    }
  }

  static bool is_only(const Json& schema, const char* keyword) {
    return std::all_of(schema.items().begin(), schema.items().end(), [&](const auto& entry) {
      return entry.key() == keyword || is_annotation(entry.key());
    });
  }

  Expr compile_object_schema(const Json& schema, const std::string& where) {
    if (schema.contains("$ref") && is_only(schema, "$ref")) {
      return reference(schema.at("$ref"), where);
    }
    if (schema.contains("$ref") || schema.contains("allOf")) {
      return compile(merger_.flat(schema, where), where);
    }
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (schema.contains(keyword)) return alternatives(schema, keyword, where);
    }
    const std::vector<std::string> types = schema_types(schema, where);
    for (const auto& [key, value] : schema.items()) check_value(key, value, where);
    if (schema.contains("enum") || schema.contains("const")) return values(schema, where);
    std::vector<Expr> options;
    for (const std::string& type : types) {
      // An integer is a number.
      const bool is_double =
          type == "integer" && std::find(types.begin(), types.end(), "number") != types.end();
      if (!is_double) options.push_back(compile_type(type, schema, where));
    }
    return builder_.choice(std::move(options));
  }

  // Types of keywords' values.
  static void check_value(const std::string& key, const Json& value, const std::string& where) {
    const auto is_count = [&] { return json_integer(value, 0, int64_t{1} << 53).has_value(); };
    const Keyword* keyword = find_keyword(key);
    if (keyword == nullptr) return;
    if (key.starts_with("min") || key.starts_with("max")) {
      if (keyword->type != "number" && !is_count()) {
        refuse(where, fmt::format("{} is no whole number of at least 0", key));
      }
    }
    if (keyword->type == "number" && !value.is_number()) {
      refuse(where, fmt::format("{} is no number", key));
    }
    if ((key == "pattern" || key == "format") && !value.is_string()) {
      refuse(where, key + " is no text");
    }
    if (key == "properties" && !value.is_object()) refuse(where, "properties is no object");
    const bool is_list = key == "required" || key == "enum" || key == "prefixItems";
    if (is_list && !value.is_array()) refuse(where, key + " is no list");
    if (key == "required" &&
        !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); })) {
      refuse(where, "required holds something that is no text");
    }
  }

  Expr reference(const Json& target, const std::string& where) {
    merger_.target(target, where);  // is there
    const auto& place = target.get_ref<const std::string&>();
    const auto [found, is_new] = rules_.try_emplace(place, 0);
    if (is_new) {
      found->second = builder_.add_rule("schema " + place);
      todo_.emplace_back(place, found->second);
    }
    return builder_.call(found->second);
  }

  Expr alternatives(const Json& schema, const char* keyword, const std::string& where) {
    const Json& list = schema.at(keyword);
    if (!list.is_array() || list.empty()) {
      refuse(where, fmt::format("{} is no list of schemas", keyword));
    }
    Json rest = schema;
    rest.erase(keyword);
    for (const auto& [key, value] : schema.items()) {
      if (is_annotation(key)) rest.erase(key);
    }
    std::vector<Expr> options;
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string place = fmt::format("{}/{}/{}", where, keyword, i);
      if (!rest.empty() && list[i].is_object()) check_keywords(list[i], place);
      options.push_back(rest.empty() ? compile(list[i], place)
                                     : compile(merger_.merged(rest, list[i], place), place));
    }
    return builder_.choice(std::move(options));
  }

  // Of enum and const, those that the other keywords allow, each as JSON is usually written.
  Expr values(const Json& schema, const std::string& where) {
    Json list = schema.value("enum", Json::array());
    if (schema.contains("const")) {
      const bool is_listed = !schema.contains("enum") || has_same_json(list, schema.at("const"));
      list = Json::array();
      if (is_listed) list.push_back(schema.at("const"));
    }
    Json rest = schema;
    rest.erase("enum");
    rest.erase("const");
    std::vector<Expr> options;
    for (const Json& value : list) {
      if (check_.allows(rest, value, where)) options.push_back(parts_.literal(value));
    }
    return builder_.choice(std::move(options));
  }

  Expr compile_type(const std::string& type, const Json& schema, const std::string& where) {
    if (type == "null") return builder_.text("null");
    if (type == "boolean") return builder_.choice({builder_.text("true"), builder_.text("false")});
    if (type == "string") return string(schema, where);
    if (type == "array") return array(schema, where);
    if (type == "object") return object(schema, where);
    return number(type, schema, where);
  }

  Expr number(const std::string& type, const Json& schema, const std::string& where) {
    const auto bound = [&](const char* key) {
      return schema.contains(key) ? std::optional(schema.at(key)) : std::nullopt;
    };
    const NumberBounds bounds = {bound("minimum"), bound("maximum"), bound("exclusiveMinimum"),
                                 bound("exclusiveMaximum")};
    const bool is_integer = type == "integer";
    if (!bounds.any()) return is_integer ? parts_.integer() : parts_.number();
    try {
      return is_integer ? parts_.integer(bounds) : parts_.number(bounds);
    } catch (const Error& error) {
      fail(error.code(), "schema {}: {}", where, error.what());
    }
  }

  static std::optional<int64_t> count(const Json& schema, const char* key) {
    if (!schema.contains(key)) return std::nullopt;
    return json_integer(schema.at(key), 0, int64_t{1} << 53);
  }

  Expr string(const Json& schema, const std::string& where) {
    const int64_t least = count(schema, "minLength").value_or(0);
    const auto most = count(schema, "maxLength");
    const bool is_limited = least > 0 || most;
    if (schema.contains("pattern") && schema.contains("format")) {
      refuse_kind(where, "pattern together with format is");
    }
    for (const char* keyword : {"pattern", "format"}) {
      if (schema.contains(keyword) && is_limited) {
        refuse_kind(where, fmt::format("{} together with minLength or maxLength is", keyword));
      }
    }
    if (schema.contains("format")) {
      const auto name = schema.at("format").get<std::string>();
      const auto found = parts_.format(name);
      if (!found) refuse_kind(where, fmt::format("format {} is", json_for_message(Json(name))));
      return *found;
    }
    if (most && *most < least) return builder_.never();
    try {
      if (schema.contains("pattern")) {
        const RegexOptions options = {[this](const CharSet& set) { return parts_.chars(set); },
                                      true};
        return builder_.sequence(
            {builder_.text("\""),
             add_regex(builder_, schema.at("pattern").get_ref<const std::string&>(), options),
             builder_.text("\"")});
      }
      return is_limited ? parts_.string(least, most) : parts_.string();
    } catch (const Error& error) {
      fail(error.code(), "schema {}: {}: {}", where,
           schema.contains("pattern") ? "pattern" : "minLength or maxLength", error.what());
    }
  }

  // A rule of its own where it is more than a few states, as items are repeated.
  Expr as_rule(Expr what, const std::string& where) {
    if (builder_.is_never(what)) return what;
    const int32_t rule = builder_.add_rule("schema " + where);
    builder_.define(rule, what);
    return builder_.call(rule);
  }

  Expr array(const Json& schema, const std::string& where) {
    if (schema.value("uniqueItems", Json(false)) == Json(true)) {
      refuse_kind(where, "uniqueItems is");
    }
    const SchemaItems given = schema_items(schema);
    const Json& first = *given.first;
    const Json& others = *given.others;
    int64_t least = count(schema, "minItems").value_or(0);
    std::optional<int64_t> most = count(schema, "maxItems");
    const bool is_any = first.empty() && others == Json(true) && least == 0 && !most;
    if (is_any) return parts_.array();

    std::vector<Expr> items;
    for (size_t i = 0; i < first.size() && !(most && static_cast<int64_t>(i) >= *most); ++i) {
      items.push_back(compile(first[i], fmt::format("{}/prefixItems/{}", where, i)));
      if (!builder_.is_never(items.back())) continue;
      items.pop_back();
      most = std::min<int64_t>(most.value_or(static_cast<int64_t>(i)), static_cast<int64_t>(i));
      break;
    }
    const auto n_first = static_cast<int64_t>(items.size());
    Expr other = as_rule(compile(others, where + "/items"), where + "/items");
    if (builder_.is_never(other)) most = std::min(most.value_or(n_first), n_first);
    if (most && *most < least) return builder_.never();
    try {
      return as_rule(list_of(items, other, least, most), where);
    } catch (const Error& error) {
      fail(error.code(), "schema {}: minItems or maxItems: {}", where, error.what());
    }
  }

  // [ the items, then others, in all least to most of them ].
  Expr list_of(const std::vector<Expr>& items, Expr other, int64_t least,
               std::optional<int64_t> most) {
    GrammarBuilder& b = builder_;
    const auto n = static_cast<int32_t>(items.size());
    const Expr comma = b.sequence({b.text(","), parts_.space()});
    const int32_t before_end = n + 1;
    const int32_t end = n + 2;
    std::vector<GrammarBuilder::GraphEdge> edges = {{before_end, end, parts_.space()}};
    for (int32_t i = 0; i <= n; ++i) {
      if (i >= least) edges.push_back({i, i == 0 ? end : before_end, b.empty()});
      if (i == n) break;
      edges.push_back(
          {i, i + 1, i == 0 ? items[0] : b.sequence({comma, items[static_cast<size_t>(i)]})});
    }
    if (!most || *most > n) {
      const int64_t more_least = std::max<int64_t>(0, least - n);
      std::optional<int64_t> more_most;
      if (most) more_most = *most - n;
      const Expr more = b.sequence({comma, other});
      if (n > 0) {
        edges.push_back({n, before_end, b.repeat(more, more_least, more_most)});
      } else {
        if (more_most) --*more_most;
        edges.push_back(
            {0, before_end,
             b.sequence({other, b.repeat(more, std::max<int64_t>(0, more_least - 1), more_most)})});
      }
    }
    return b.sequence(
        {b.text("["), parts_.space(), b.graph(end + 1, std::move(edges)), b.text("]")});
  }

  struct Property {
    std::string name;
    Expr value;
    bool is_required = false;
  };

  Expr object(const Json& schema, const std::string& where) {
    for (const char* keyword : {"minProperties", "maxProperties"}) {
      if (schema.contains(keyword)) refuse_kind(where, fmt::format("{} is", keyword));
    }
    const Json properties = schema.value("properties", Json::object());
    const Json required = schema.value("required", Json::array());
    const Json others = schema.value("additionalProperties", Json(true));
    if (properties.empty() && required.empty() && others == Json(true)) return parts_.object();

    const Expr other = compile(others, where + "/additionalProperties");
    std::set<std::string> missing;  // of those that are required, not in the list yet
    for (const Json& name : required) missing.insert(name.get<std::string>());
    std::vector<Property> list;
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, Expr value) {
      names.push_back(name);
      const bool is_needed = missing.erase(name) > 0;
      if (!builder_.is_never(value) || is_needed) list.push_back({name, value, is_needed});
    };
    for (const auto& [name, property] : properties.items()) {
      add(name, compile(property, where + "/properties/" + pointer_part(name)));
    }
    for (const Json& name : required) {
      const auto& text = name.get_ref<const std::string&>();
      if (missing.contains(text)) add(text, other);
    }
    for (const Property& property : list) {
      if (property.is_required && builder_.is_never(property.value)) return builder_.never();
    }
    return as_rule(object_of(list, names, other), where);
  }

  static std::string pointer_part(const std::string& name) {
    std::string out;
    for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return out;
  }

  // Nodes of the graph: "next i" is where property i or a later one comes, "after i" where the one
  // before i has been.
  Expr object_of(const std::vector<Property>& list, const std::vector<std::string>& names,
                 Expr other) {
    GrammarBuilder& b = builder_;
    const auto n = static_cast<int32_t>(list.size());
    const auto next = [](int32_t i) { return i; };
    const auto after = [n](int32_t i) { return n + 1 + i; };
    const int32_t before_end = 2 * n + 2;
    const int32_t end = 2 * n + 3;
    const Expr comma = b.sequence({b.text(","), parts_.space()});
    std::vector<GrammarBuilder::GraphEdge> edges = {{before_end, end, parts_.space()}};
    bool may_end = true;  // no property that must come is left
    for (int32_t i = n; i >= 0; --i) {
      if (i < n) {
        const Property& property = list[static_cast<size_t>(i)];
        edges.push_back({next(i), after(i + 1), parts_.member(property.name, property.value)});
        if (!property.is_required) edges.push_back({next(i), next(i + 1), b.empty()});
        may_end = may_end && !property.is_required;
      }
      edges.push_back({after(i), next(i), comma});
      if (may_end) edges.push_back({after(i), before_end, b.empty()});
    }
    if (!b.is_never(other)) {
      edges.push_back(
          {next(n), after(n), b.sequence({parts_.other_key(names), parts_.key_end(), other})});
    }
    // An object without members ends at once.
    const Expr members = b.graph(end + 1, std::move(edges));
    const Expr inside = may_end ? b.optional(members) : members;
    return b.sequence({b.text("{"), parts_.space(), inside, b.text("}")});
  }

  GrammarBuilder& builder_;
  JsonParts parts_;
  const Json& root_;
  SchemaMerger merger_;
  SchemaCheck check_{merger_};            // one, as what it may spend is for the whole schema
  std::map<std::string, int32_t> rules_;  // by what references name
  std::deque<std::pair<std::string, int32_t>> todo_;  // of these, not defined yet
  int depth_ = 0;
};

}  // namespace

GrammarExpr add_json_schema(GrammarBuilder& builder, const Json& schema) {
  if (schema.dump().size() > GrammarLimits::kTextBytes) {
    fail(ErrorCode::kInvalidArgument, "the schema has more than {} bytes",
         GrammarLimits::kTextBytes);
  }
  return SchemaCompiler(builder, schema).compile();
}

GrammarPtr compile_json_schema(const Json& schema) {
  GrammarBuilder builder;
  return builder.compile(add_json_schema(builder, schema));
}

GrammarPtr compile_json_object() {
  GrammarBuilder builder;
  return builder.compile(JsonParts(builder).object());
}

}  // namespace tq
