#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "grammar/grammar.h"
#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;

Json parsed(const std::string& text) { return parse_json(text, "test"); }

// Texts that a schema allows, and others that it does not.
void check(const std::string& schema, const std::vector<std::string>& good,
           const std::vector<std::string>& bad) {
  SCOPED_TRACE(schema);
  const GrammarPtr grammar = compile_json_schema(parsed(schema));
  for (const std::string& text : good) EXPECT_TRUE(grammar->matches(text)) << text;
  for (const std::string& text : bad) EXPECT_FALSE(grammar->matches(text)) << text;
}

TEST(JsonSchema, Types) {
  check(R"({"type":"string"})", {R"("")", R"("a\n\u00e9\ud83d\ude00é")"},
        {R"("a)", "1", R"("\ud83d")", "\"\n\"", R"("\x")", "\"\xff\"", R"("a" )"});
  check(R"({"type":"integer"})", {"0", "-12", "123456789012345678"},
        {"1.0", "01", "-", "+1", "1e3", "", " 1", "1234567890123456789"});
  check(R"({"type":"number"})", {"0", "-0.5", "1e-10", "12.25E+3"}, {"1.", ".5", "01.5", "1e"});
  check(R"({"type":["boolean","null"]})", {"true", "false", "null"}, {"0", "tru", "nulll"});
  check("true", {"1", "[]", R"({"a":[1,{"b":null}]})", "\"\""}, {"", "{", "[1,]", "{\"a\"}"});
  check("{}", {"1", "{}"}, {"nul"});
}

TEST(JsonSchema, ObjectsInOrder) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},
          "c":{"type":"null"}},"required":["b"],"additionalProperties":false})";
  check(schema,
        {R"({"a":1,"b":"x","c":null})", R"({"b":"x"})", R"({"a": 1, "b": "x"})",
         "{\n  \"a\": 1,\n  \"b\": \"x\"\n}", R"({"b":"x","c":null})"},
        {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x",})", R"({,"b":"x"})",
         R"({"b":"x","d":1})", R"({"a":"1","b":"x"})", R"({"b":"x"}})", R"({"b" :"x"})"});
  check(R"({"type":"object","properties":{"ab":{"type":"integer"}},"required":["z"]})",
        {R"({"ab":1,"z":[]})", R"({"z":1})", R"({"z":1,"a":2,"abc":{}})", R"({"z":1,"":2})"},
        {R"({"ab":1})", R"({"z":1,"ab":"x"})", R"({"z":1,"z":1})", R"({"q":1,"z":1})"});
  check(R"({"type":"object","additionalProperties":{"type":"integer"}})",
        {"{}", R"({"x":1})", R"({"x":1,"y":2})"}, {R"({"x":"1"})"});
  check(R"({"type":"object","properties":{"a":false,"b":true},"additionalProperties":false})",
        {"{}", R"({"b":1})"}, {R"({"a":1})"});
}

TEST(JsonSchema, Arrays) {
  check(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
        {"[1]", "[1,2]", "[1, 2, 3]", "[\n\t1\n]"}, {"[]", "[1,2,3,4]", "[1,]", "[\"1\"]"});
  check(R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],
            "items":{"type":"null"}})",
        {"[]", "[1]", "[1,\"\"]", "[1,\"\",null,null]"}, {"[\"\"]", "[1,\"\",1]", "[1,2]"});
  check(R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false})", {"[]", "[1]"},
        {"[1,1]"});
  check(R"({"type":"array","items":false})", {"[]"}, {"[1]"});
  check(R"({"type":"array","items":{"type":"integer"},"minItems":2})", {"[1,2]", "[1,2,3]"},
        {"[1]", "[]"});
  check(R"({"type":"array","prefixItems":[true,true,true],"minItems":2,"items":false})",
        {"[1,2]", "[1,2,3]"}, {"[1]", "[1,2,3,4]"});
}

TEST(JsonSchema, Numbers) {
  check(R"({"type":"integer","minimum":-15,"maximum":120})",
        {"-15", "-9", "-1", "0", "7", "99", "100", "120"}, {"-16", "121", "-0", "200", "1000"});
  check(R"({"type":"integer","minimum":5})", {"5", "10", "99999"}, {"4", "-5", "0"});
  check(R"({"type":"integer","maximum":-5})", {"-5", "-10", "-99"}, {"-4", "5", "0"});
  check(R"({"type":"integer","exclusiveMinimum":2.5,"exclusiveMaximum":7})", {"3", "6"},
        {"2", "7"});
}

}  // namespace
}  // namespace tq
