#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "grammar/grammar.h"
#include "support/expect_error.h"
#include "unit/grammar/check_texts.h"

namespace tq {
namespace {

using fixtures::expect_error;

Json parsed(const std::string& text) { return parse_json(text, "test"); }

// Texts that a schema allows, and others that it does not.
void check_schema(const std::string& schema, const std::vector<std::string>& good,
                  const std::vector<std::string>& bad) {
  SCOPED_TRACE(schema);
  fixtures::check_texts(*compile_json_schema(parsed(schema)), good, bad);
}

TEST(JsonSchema, Types) {
  check_schema(R"({"type":"string"})", {R"("")", R"("a\n\u00e9\ud83d\ude00é")"},
               {R"("a)", "1", R"("\ud83d")", "\"\n\"", R"("\x")", "\"\xff\"", R"("a" )"});
  check_schema(R"({"type":"integer"})", {"0", "-12", "123456789012345678"},
               {"1.0", "01", "-", "+1", "1e3", "", " 1", "1234567890123456789"});
  check_schema(R"({"type":"number"})", {"0", "-0.5", "1e-10", "12.25E+3"},
               {"1.", ".5", "01.5", "1e"});
  check_schema(R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"0", "tru", "nulll"});
  check_schema("true", {"1", "[]", R"({"a":[1,{"b":null}]})", "\"\""},
               {"", "{", "[1,]", "{\"a\"}"});
  check_schema("{}", {"1", "{}"}, {"nul"});
}

TEST(JsonSchema, ObjectsInOrder) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},
          "c":{"type":"null"}},"required":["b"],"additionalProperties":false})";
  check_schema(schema,
               {R"({"a":1,"b":"x","c":null})", R"({"b":"x"})", R"({"a": 1, "b": "x"})",
                "{\n  \"a\": 1,\n  \"b\": \"x\"\n}", R"({"b":"x","c":null})"},
               {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x",})", R"({,"b":"x"})",
                R"({"b":"x","d":1})", R"({"a":"1","b":"x"})", R"({"b":"x"}})", R"({"b" :"x"})"});
  check_schema(R"({"type":"object","properties":{"ab":{"type":"integer"}},"required":["z"]})",
               {R"({"ab":1,"z":[]})", R"({"z":1})", R"({"z":1,"a":2,"abc":{}})", R"({"z":1,"":2})"},
               {R"({"ab":1})", R"({"z":1,"ab":"x"})", R"({"z":1,"z":1})", R"({"q":1,"z":1})"});
  check_schema(R"({"type":"object","additionalProperties":{"type":"integer"}})",
               {"{}", R"({"x":1})", R"({"x":1,"y":2})"}, {R"({"x":"1"})"});
  check_schema(
      R"({"type":"object","properties":{"a":false,"b":true},"additionalProperties":false})",
      {"{}", R"({"b":1})"}, {R"({"a":1})"});
}

TEST(JsonSchema, Arrays) {
  check_schema(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
               {"[1]", "[1,2]", "[1, 2, 3]", "[\n\t1\n]"}, {"[]", "[1,2,3,4]", "[1,]", "[\"1\"]"});
  check_schema(R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],
            "items":{"type":"null"}})",
               {"[]", "[1]", "[1,\"\"]", "[1,\"\",null,null]"}, {"[\"\"]", "[1,\"\",1]", "[1,2]"});
  check_schema(R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false})",
               {"[]", "[1]"}, {"[1,1]"});
  check_schema(R"({"type":"array","items":false})", {"[]"}, {"[1]"});
  check_schema(R"({"type":"array","items":{"type":"integer"},"minItems":2})", {"[1,2]", "[1,2,3]"},
               {"[1]", "[]"});
  check_schema(R"({"type":"array","prefixItems":[true,true,true],"minItems":2,"items":false})",
               {"[1,2]", "[1,2,3]"}, {"[1]", "[1,2,3,4]"});
}

TEST(JsonSchema, Numbers) {
  check_schema(R"({"type":"integer","minimum":-15,"maximum":120})",
               {"-15", "-9", "-1", "0", "7", "99", "100", "120"},
               {"-16", "121", "-0", "200", "1000"});
  check_schema(R"({"type":"integer","minimum":5})", {"5", "10", "99999"}, {"4", "-5", "0"});
  check_schema(R"({"type":"integer","maximum":-5})", {"-5", "-10", "-99"}, {"-4", "5", "0"});
  check_schema(R"({"type":"integer","exclusiveMinimum":2.5,"exclusiveMaximum":7})", {"3", "6"},
               {"2", "7"});
  check_schema(R"({"type":"number","minimum":0})", {"0", "0.0", "12.5"}, {"-1", "-0.1"});
  check_schema(R"({"type":"number","exclusiveMinimum":0,"maximum":1})",
               {"0.001", "1", "1.0", "0.10"}, {"0", "0.0", "1.01", "2", "-1"});
  check_schema(R"({"type":"number","minimum":-1.25,"exclusiveMaximum":-0.5})",
               {"-1.25", "-1", "-0.51"}, {"-0.5", "-1.26", "-2", "0"});
  check_schema(R"({"type":"number","minimum":1e2,"maximum":1.5e2})", {"100", "149.9", "150"},
               {"99.9", "150.1"});
  expect_error(ErrorCode::kUnsupported, {"schema #", "1e+300"},
               [] { compile_json_schema(parsed(R"({"type":"number","maximum":1e300})")); });
}

// A bound in hundredths, as JSON.
Json hundredths(int n) { return Json(n / 100.0); }

RC_GTEST_PROP(JsonSchema, NumbersAreWithinTheirBounds, ()) {
  const int low = *rc::gen::inRange(-3000, 3000);
  const int high = *rc::gen::inRange(-3000, 3000);
  const bool strict = *rc::gen::arbitrary<bool>();
  const bool is_integer = *rc::gen::arbitrary<bool>();
  const bool has_low = *rc::gen::arbitrary<bool>();
  const Json type = is_integer ? "integer" : "number";
  Json schema = {{"type", type}, {strict ? "exclusiveMaximum" : "maximum", hundredths(high)}};
  if (has_low) schema[strict ? "exclusiveMinimum" : "minimum"] = hundredths(low);
  GrammarPtr grammar;
  try {
    grammar = compile_json_schema(schema);
  } catch (const Error&) {  // nothing is allowed
    RC_ASSERT(has_low);
    RC_ASSERT(low >= high - (is_integer ? 200 : 0));
    return;
  }
  for (int i = 0; i < 50; ++i) {
    const int near = *rc::gen::element(low, high, 0);
    const int value = near + *rc::gen::inRange(-150, 150);
    const int n_digits = is_integer || value % 100 == 0 ? 0 : value % 10 == 0 ? 1 : 2;
    if (is_integer && value % 100 != 0) continue;
    if (value == 0) continue;
    std::string text = fmt::format("{:.{}f}", value / 100.0, n_digits);
    if (!is_integer && n_digits > 0 && *rc::gen::arbitrary<bool>()) text += "00";
    const bool in_bounds = strict ? value < high && (!has_low || value > low)
                                  : value <= high && (!has_low || value >= low);
    RC_ASSERT(grammar->matches(text) == in_bounds);
  }
}

TEST(JsonSchema, EnumAndConst) {
  check_schema(R"({"enum":["a",1,1.5,true,null,{"x":[1]},"\"\n"]})",
               {"\"a\"", "1", "1.5", "true", "null", R"({"x":[1]})", R"("\"\n")"},
               {"\"b\"", "2", "false", "a", "1.0"});
  check_schema(R"({"const":1.0})", {"1", "1.0"}, {"2"});
  check_schema(R"({"type":"string","enum":["a",1,"abc"],"maxLength":2})", {"\"a\""},
               {"1", "\"abc\""});
  check_schema(R"({"type":"integer","enum":[1,2.5,3],"minimum":2})", {"3"}, {"1", "2.5"});
  check_schema(R"({"enum":[1,2],"const":2})", {"2"}, {"1"});
  expect_error(ErrorCode::kInvalidArgument, {"no value"},
               [] { compile_json_schema(parsed(R"({"enum":[1],"type":"string"})")); });
}

// Which values are listed does not depend on how grammars of the other keywords would write them.
TEST(JsonSchema, ListedValuesAreCheckedAsValues) {
  check_schema(R"({"enum":[1e-7,1e20,-5e30],"minimum":-1e25})", {"1e-7", "1e-07", "1e20", "1e+20"},
               {"-5e30", "0.0000001"});
  check_schema(R"({"const":1e-7,"exclusiveMinimum":0})", {"1e-7"}, {"0"});
  check_schema(R"({"enum":[18446744073709551615,9007199254740993,3],"maximum":9007199254740992})",
               {"3"}, {"18446744073709551615", "9007199254740993"});
  check_schema(R"({"enum":["\u0001\u001f","\u007f/","a\tb"],"minLength":2,"maxLength":3})",
               {R"("\u0001\u001f")", "\"\x7f/\"", R"("a\tb")"}, {R"("\u0001")"});
  check_schema(R"({"enum":["\u0001x","x","é"],"pattern":"^[^a-w]"})",
               {R"("\u0001x")", "\"x\"", "\"é\""}, {});
  check_schema(R"({"enum":["abc","b"],"pattern":"b","minLength":2})", {"\"abc\""}, {"\"b\""});
  check_schema(R"({"const":"::1","format":"ipv6"})", {"\"::1\""}, {});
  check_schema(R"({"enum":[{"a":1},{"a":"x"},{"b":2}],"properties":{"a":{"type":"integer"}},
                   "required":["a"],"additionalProperties":false})",
               {R"({"a":1})"}, {R"({"a":"x"})", R"({"b":2})"});
  check_schema(R"({"enum":[{"p":{"a":1,"b":2}}],"properties":{"p":{"const":{"b":2,"a":1}}}})",
               {R"({"p":{"a":1,"b":2}})"}, {"{}"});
  check_schema(R"({"enum":[[{"a":1,"b":2},{"b":2,"a":1}],[]],"uniqueItems":true})", {"[]"},
               {R"([{"a":1,"b":2},{"b":2,"a":1}])"});
  check_schema(R"({"enum":[[1,2],[1],[1,1],[1,"x"]],"minItems":2,"uniqueItems":true,
                   "items":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]},
                   "$defs":{"n":{"type":"number"}}})",
               {"[1,2]"}, {"[1]", "[1,1]", R"([1,"x"])"});
}

TEST(JsonSchema, Alternatives) {
  check_schema(R"({"anyOf":[{"type":"integer"},{"type":"null"}]})", {"1", "null"}, {"true"});
  check_schema(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", {"1", "1.5"}, {"\"\""});
  check_schema(R"({"type":"object","properties":{"k":{"type":"string"}},"required":["k"],
            "anyOf":[{"properties":{"k":{"const":"a"},"x":{"type":"null"}},"required":["x"]},
                     {"properties":{"k":{"const":"b"}}}],"additionalProperties":true})",
               {R"({"k":"a","x":null})", R"({"k":"b"})"}, {R"({"k":"a"})", R"({"k":"c"})"});
  check_schema(
      R"({"allOf":[{"type":["integer","string"],"minimum":3},{"type":"number","maximum":5}]})",
      {"3", "5"}, {"2", "6", "\"\""});
  check_schema(R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},
                     {"properties":{"a":{"minimum":2},"b":{"type":"null"}},
                      "required":["b"]}],"type":"object"})",
               {R"({"a":2,"b":null})"}, {R"({"a":1,"b":null})", R"({"a":2})"});
  check_schema(R"({"type":"object","properties":{"a":true},"additionalProperties":false,
            "allOf":[{"properties":{"b":true}}]})",
               {"{}", R"({"a":1})"}, {R"({"b":1})"});
  check_schema(R"({"anyOf":[{"const":1},{"const":2}],"oneOf":[{"const":2},{"const":3}]})", {"2"},
               {"1", "3"});
  check_schema(
      R"({"allOf":[{"items":{"type":"integer"},"prefixItems":[true]},{"items":{"minimum":2}}],
            "type":"array"})",
      {"[2,3]", "[]"}, {"[2,1]", "[2,\"\"]"});
}

TEST(JsonSchema, References) {
  check_schema(R"({"$ref":"#/$defs/list","$defs":{"list":{"type":"object","properties":{
            "next":{"anyOf":[{"$ref":"#/$defs/list"},{"type":"null"}]}},"required":["next"],
            "additionalProperties":false}}})",
               {R"({"next":null})", R"({"next":{"next":null}})"}, {"{}", R"({"next":1})"});
  check_schema(R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"});
  check_schema(R"({"$defs":{"a/b~c d":{"type":"null"}},"$ref":"#/$defs/a~1b~0c%20d"})", {"null"},
               {"1"});
  check_schema(R"({"prefixItems":[{"type":"null"},{"$ref":"#/prefixItems/0"}],"type":"array"})",
               {"[null,null]"}, {"[null,1]"});
  check_schema(R"({"$ref":"#/definitions/s","maxLength":2,"definitions":{"s":{"type":"string"}}})",
               {"\"ab\""}, {"\"abc\"", "1"});
}

TEST(JsonSchema, Strings) {
  check_schema(R"({"type":"string","minLength":2,"maxLength":3})",
               {"\"ab\"", "\"é😀\\n\"", "\"\\\"\\\\a\""}, {"\"a\"", "\"abcd\"", "\"\\n\""});
  check_schema(R"({"type":"string","minLength":40})", {"\"" + std::string(41, 'x') + "\""},
               {"\"" + std::string(39, 'x') + "\""});
  check_schema(R"({"type":"string","pattern":"^[a-z]+$"})", {"\"ab\""}, {"\"\"", "\"aB\""});
  check_schema(R"({"type":"string","pattern":"b+"})", {"\"abc\"", "\"b\"", "\"\\\"b\\n\""},
               {"\"ac\""});
  check_schema(R"({"type":"string","pattern":"^a|b$"})", {"\"ax\"", "\"xb\"", "\"b\""}, {"\"xa\""});
  check_schema(R"x({"type":"string","pattern":"^\"\\\\\n\u0001$"})x", {R"("\"\\\n\u0001")"},
               {"\"x\""});
  check_schema(R"({"type":"string","format":"date-time"})",
               {"\"2024-02-29T23:59:59Z\"", "\"2023-01-31T00:00:00.5+01:00\""},
               {"\"2023-02-29T00:00:00Z\"", "\"2023-04-31T00:00:00Z\"", "\"2023-01-01\""});
  check_schema(R"({"type":"string","format":"uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""},
               {"\"123e4567\""});
  check_schema(R"({"type":["string","integer"],"format":"ipv4"})", {"\"127.0.0.1\"", "5"},
               {"\"256.1.1.1\"", "\"1.2.3\""});
}

TEST(JsonSchema, RefusesWhatItDoesNotKnowByName) {
  const auto refuses = [](const std::string& schema, ErrorCode code,
                          std::initializer_list<std::string> parts) {
    SCOPED_TRACE(schema);
    expect_error(code, parts, [&] { compile_json_schema(parsed(schema)); });
  };
  for (const char* keyword :
       {"patternProperties", "propertyNames", "dependentRequired", "dependentSchemas",
        "unevaluatedProperties", "unevaluatedItems", "contains", "minContains", "multipleOf", "not",
        "if", "then", "else", "$dynamicRef", "$recursiveRef", "nullable", "minProperties",
        "maxProperties", "tpyo"}) {
    refuses(fmt::format(R"({{"type":"object","properties":{{"a":{{"{}":1}}}}}})", keyword),
            ErrorCode::kUnsupported, {"#/properties/a", keyword});
  }
  refuses(R"({"type":"array","uniqueItems":true})", ErrorCode::kUnsupported, {"uniqueItems"});
  refuses(R"({"type":"string","format":"idn-email"})", ErrorCode::kUnsupported,
          {"format", "idn-email"});
  refuses(R"x({"type":"string","pattern":"a(?=b)"})x", ErrorCode::kUnsupported,
          {"schema #", "pattern", "look-ahead"});
  refuses(R"({"type":"string","pattern":"a","maxLength":3})", ErrorCode::kUnsupported,
          {"pattern", "maxLength"});
  refuses(R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", ErrorCode::kUnsupported,
          {"#/allOf/1", "pattern"});
  refuses(R"({"$ref":"http://x/y"})", ErrorCode::kUnsupported, {"$ref", "http://x/y"});
  refuses(R"({"$ref":"#/$defs/x"})", ErrorCode::kInvalidArgument, {"#/$defs/x", "no such place"});
  refuses(R"({"enum":[{"a":1}],"properties":{"a":{"not":{}}}})", ErrorCode::kUnsupported, {"not"});
  refuses(R"({"enum":[{"a":1}],"properties":{"a":{"$ref":"#/properties/a"}}})",
          ErrorCode::kUnsupported, {"circle"});
  refuses(R"({"properties":{"a":{"$id":"x"}}})", ErrorCode::kUnsupported, {"$id"});
  refuses(R"({"type":"text"})", ErrorCode::kInvalidArgument, {"type", "text"});
  refuses(R"({"type":"string","minLength":-1})", ErrorCode::kInvalidArgument, {"minLength"});
  refuses(R"({"type":"integer","minimum":"1"})", ErrorCode::kInvalidArgument, {"minimum"});
  refuses(R"({"properties":[]})", ErrorCode::kInvalidArgument, {"properties"});
  refuses(R"({"required":"a"})", ErrorCode::kInvalidArgument, {"required"});
  refuses(R"({"properties":{"a":5}})", ErrorCode::kInvalidArgument, {"#/properties/a", "5"});
  refuses("5", ErrorCode::kInvalidArgument, {"5 is no schema"});
  refuses("false", ErrorCode::kInvalidArgument, {"no value"});
  refuses(R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
          ErrorCode::kInvalidArgument, {"no text"});
  refuses(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", ErrorCode::kInvalidArgument,
          {"left recursion"});
  refuses(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
          ErrorCode::kInvalidArgument, {"no text"});
  refuses(R"({"allOf":[{"$ref":"#"}],"type":"object"})", ErrorCode::kUnsupported, {"allOf"});
  refuses(R"({"type":"string","maxLength":1000000})", ErrorCode::kInvalidArgument,
          {"maxLength", "20000"});
}

TEST(JsonSchema, AnnotationsSayNothing) {
  check_schema(R"({"$schema":"x","$id":"http://x","title":"t","description":"d","default":5,
            "examples":[1],"$comment":"c","deprecated":true,"x-order":1,"type":"null"})",
               {"null"}, {"5"});
}

TEST(JsonSchema, HostileOnesCostAnErrorOrLittle) {
  const auto wide = [](int n) {
    Json schema = {{"type", "object"}, {"properties", Json::object()}};
    for (int i = 0; i < n; ++i) {
      schema["properties"]["name" + std::to_string(i)] = {{"type", "string"}};
    }
    return schema;
  };
  EXPECT_TRUE(compile_json_schema(wide(200))->matches(R"({"name1":"x","name199":"y","z":1})"));
  expect_error(ErrorCode::kInvalidArgument, {"too large"},
               [&] { compile_json_schema(wide(2000)); });
  Json deep = {{"type", "null"}};
  for (int i = 0; i < 70; ++i) deep = {{"type", "array"}, {"items", deep}};
  expect_error(ErrorCode::kInvalidArgument, {"deep"}, [&] { compile_json_schema(deep); });
  Json many = {{"anyOf", Json::array()}};
  for (int i = 0; i < 300; ++i) {
    many["anyOf"].push_back(
        {{"type", "array"}, {"items", {{"type", "string"}, {"maxLength", 10000 + i}}}});
  }
  expect_error(ErrorCode::kInvalidArgument, {"too large"}, [&] { compile_json_schema(many); });
  expect_error(ErrorCode::kInvalidArgument, {"bytes"}, [] {
    compile_json_schema({{"enum", Json::array({std::string(1 << 20, 'x')})}});
  });
  Json crossed = {{"allOf", Json::array()}};
  for (int i = 0; i < 20; ++i) {
    crossed["allOf"].push_back({{"anyOf", Json::array({{{"minimum", i}}, {{"maximum", i}}})}});
  }
  expect_error(ErrorCode::kUnsupported, {"allOf"}, [&] { compile_json_schema(crossed); });
  Json listed = {{"enum", Json::array()}, {"type", "string"}, {"pattern", "([ab]{1,60}c){1,60}"}};
  for (int i = 0; i < 3000; ++i) listed["enum"].push_back("bc" + std::to_string(i));
  listed["enum"].push_back("abc");
  EXPECT_TRUE(compile_json_schema(listed)->matches("\"abc\""));
  // What is spent is spent for the whole schema.
  Json unique = {{"enum", {Json::array()}}, {"uniqueItems", true}, {"anyOf", Json::array()}};
  for (int i = 0; i < 1400; ++i) unique["enum"][0].push_back(i);
  for (int i = 0; i < 3000; ++i) unique["anyOf"].push_back({{"minItems", i % 1000}});
  expect_error(ErrorCode::kUnsupported, {"enum"}, [&] { compile_json_schema(unique); });
  // Lists inside of what an enum is held to, and long values that are nearly the same.
  Json numbers = Json::array();
  for (int i = 0; i < 1100; ++i) numbers.push_back(i);
  const Json nested = {{"enum", {numbers}}, {"items", {{"enum", numbers}}}};
  expect_error(ErrorCode::kUnsupported, {"enum"}, [&] {
    compile_json_schema({{"anyOf", {nested, nested}}});
  });
  numbers.erase(numbers.begin() + 250, numbers.end());
  Json merged = {{"allOf", {{{"enum", Json::array()}}, {{"enum", Json::array()}}}}};
  for (int i = 0; i < 180; ++i) {  // two lists of the same values
    numbers.back() = i < 90 ? i : 179 - i;
    merged["allOf"][i / 90]["enum"].push_back(numbers);
  }
  EXPECT_TRUE(
      compile_json_schema({{"enum", {numbers}}, {"const", numbers}})->matches(numbers.dump()));
  for (int i = 0; i < 60; ++i) merged["allOf"].push_back({{"$ref", "#/allOf/1"}});
  expect_error(ErrorCode::kUnsupported, {"too many"}, [&] { compile_json_schema(merged); });
  expect_error(ErrorCode::kInvalidArgument, {"prefixItems"}, [] {
    compile_json_schema(parse_json(R"({"allOf":[{"prefixItems":{"a":1}},{"items":true}]})", ""));
  });
}

TEST(JsonObject, IsOne) {
  const GrammarPtr grammar = compile_json_object();
  for (const char* text : {"{}", R"({"a":[{"b":1e5},null,"x"],"c": {}})"}) {
    EXPECT_TRUE(grammar->matches(text)) << text;
  }
  for (const char* text : {"[]", "{", "{}}", "{} ", " {}", R"({"a":1,})"}) {
    EXPECT_FALSE(grammar->matches(text)) << text;
  }
  EXPECT_FALSE(grammar->matches(R"({"a":)" + std::string(100000, '[')));  // bounded depth
}

TEST(Choices, AreTheTexts) {
  const std::vector<std::string> texts = {"yes", "no", "not sure", "n"};
  const GrammarPtr grammar = compile_choices(texts);
  for (const std::string& text : texts) EXPECT_TRUE(grammar->matches(text));
  for (const char* text : {"", "ye", "yesno", "not"}) EXPECT_FALSE(grammar->matches(text));
  expect_error(ErrorCode::kInvalidArgument, {"no texts"}, [] { compile_choices({}); });
  std::vector<std::string> many;
  for (int i = 0; i < 5000; ++i) many.push_back("choice " + std::to_string(i * 7919));
  EXPECT_TRUE(compile_choices(many)->matches("choice 7919"));
}

}  // namespace
}  // namespace tq
