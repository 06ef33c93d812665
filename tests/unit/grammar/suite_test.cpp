// The official JSON-Schema-Test-Suite: what our grammars accept and refuse, against what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "grammar/grammar.h"

namespace tq {
namespace {

// Names of properties in the order in which the schema has them first.
void collect_names(const Json& schema, std::vector<std::string>& names) {
  if (schema.is_array()) {
    for (const Json& part : schema) collect_names(part, names);
  }
  if (!schema.is_object()) return;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  if (const auto found = schema.find("properties"); found != schema.end() && found->is_object()) {
    for (const auto& [name, part] : found->items()) add(name);
  }
  if (const auto found = schema.find("required"); found != schema.end() && found->is_array()) {
    for (const Json& name : *found) {
      if (name.is_string()) add(name.get<std::string>());
    }
  }
  for (const auto& [key, part] : schema.items()) collect_names(part, names);
}

// The value with its keys in that order; objects inside of enum and const stay as they are.
Json ordered(const Json& value, const std::vector<std::string>& names) {
  if (value.is_array()) {
    Json out = Json::array();
    for (const Json& item : value) out.push_back(ordered(item, names));
    return out;
  }
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const std::string& name : names) {
    if (value.contains(name)) out[name] = ordered(value.at(name), names);
  }
  for (const auto& [name, item] : value.items()) {
    if (!out.contains(name)) out[name] = ordered(item, names);
  }
  return out;
}

// What we say differently on purpose, and how often the suite has it.
struct Difference {
  const char* where;  // what the names of the group and the case begin with
  const char* in;     // and what is in the value
  int count;
};
constexpr Difference kDifferences[] = {
    // oneOf is anyOf: a value of two of them is not refused.
    {"draft2020-12/oneOf: ", "", 8},
    // One text for a number: integers without a fraction or an exponent, of at most 18 digits.
    {"draft2020-12/const: ", "0", 3},
    {"draft2020-12/enum: ", ".0", 4},
    {"draft2020-12/type: integer", "1.0", 1},
    {"draft2020-12/optional/bignum: ", "e+", 3},
    // And one for an object: the keys in the order of const.
    {"draft2020-12/const: const with object: same object", "", 1},
    // Control characters that have no short escape are not written for a class of characters.
    {"draft2020-12/optional/ecmascript-regex: ECMA 262 \\S", "u0001", 1},
    // Times without leap seconds, lower-case letters and more than nine digits of a second.
    {"draft2020-12/optional/format/date-time: ", "", 4},
    {"draft2020-12/optional/format/time: ", "", 7},
    {"draft2020-12/optional/format/duration: ", "9999999999", 1},
    // Addresses as they are usual.
    {"draft2020-12/optional/format/email: ", "", 5},
    {"draft2020-12/optional/format/hostname: ", "", 18},
    {"draft2020-12/optional/format/ipv6: ", ":", 10},
    {"draft2020-12/optional/format/uri: ", ":", 6},
};

// What messages name where a schema of the suite is not supported.
constexpr const char* kNotSupported[] = {"patternProperties", "propertyNames", "dependentSchemas",
                                         "multipleOf", "$ref", "\\p", "unevaluatedProperties",
                                         "if is not", "then is not", "else is not",
                                         // Schemas that allow nothing: there is no text for them.
                                         "no value is allowed", "no text can be finished"};

struct Suite : testing::Test {
  int n_judged = 0;
  int n_refused = 0;  // groups
  std::map<const Difference*, int> n_differences;

  void judge(const Json& group) {
    const auto name = group.at("name").get<std::string>();
    GrammarPtr grammar;
    try {
      grammar = compile_json_schema(group.at("schema"));
    } catch (const Error& error) {
      ++n_refused;
      EXPECT_TRUE(std::any_of(std::begin(kNotSupported), std::end(kNotSupported),
                              [&](const char* word) {
                                return std::string(error.what()).find(word) != std::string::npos;
                              }))
          << name << ": " << error.what();
      return;
    }
    std::vector<std::string> names;
    collect_names(group.at("schema"), names);
    for (const Json& test : group.at("tests")) {
      ++n_judged;
      const std::string text = ordered(test[1], names).dump();
      if (grammar->matches(text) == test[2].get<bool>()) continue;
      differ(name + ": " + test[0].get<std::string>(), text, test[2].get<bool>());
    }
  }

  void differ(const std::string& name, const std::string& text, bool is_valid) {
    for (const Difference& difference : kDifferences) {
      if (!name.starts_with(difference.where) || text.find(difference.in) == std::string::npos) {
        continue;
      }
      const bool is_one_of = std::string_view(difference.where).find("oneOf") != std::string::npos;
      EXPECT_EQ(is_valid, !is_one_of) << name << ": " << text;
      ++n_differences[&difference];
      return;
    }
    ADD_FAILURE() << name << ": " << text << (is_valid ? " is valid" : " is not valid");
  }
};

TEST_F(Suite, AcceptsAndRefusesAsTheSuiteSays) {
  const Json groups = parse_json(
      read_text_file(std::string(TQ_TEST_DATA) + "/golden/json_schema/cases.json"), "cases.json");
  for (const Json& group : groups) judge(group);
  EXPECT_EQ(groups.size(), 233u);
  EXPECT_EQ(n_refused, 42);
  EXPECT_EQ(n_judged, 1043);
  for (const Difference& difference : kDifferences) {
    EXPECT_EQ(n_differences[&difference], difference.count) << difference.where;
  }
}

}  // namespace
}  // namespace tq
