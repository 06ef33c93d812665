#include "base/json.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "support/expect_error.h"

namespace tq {
namespace {

void expect_corrupt(const std::string& text, std::initializer_list<std::string> parts,
                    const JsonLimits& limits = {}) {
  SCOPED_TRACE(text.substr(0, 80));
  fixtures::expect_error(ErrorCode::kCorrupt, parts,
                         [&] { (void)parse_json(text, "config.json", limits); });
}

TEST(Json, ParsesAndKeepsTheOrderOfKeys) {
  const Json json = parse_json(R"({"b": [1, -2.5, true, null], "a": {"x": "\u00e9"}})", "test");
  EXPECT_EQ(json.dump(), "{\"b\":[1,-2.5,true,null],\"a\":{\"x\":\"\xc3\xa9\"}}");
  EXPECT_EQ(parse_json("9007199254740993", "test").get<int64_t>(), 9007199254740993);
}

TEST(Json, RefusesDuplicateKeysAtEveryLevel) {
  expect_corrupt(R"({"a": 1, "b": 2, "a": 3})", {"config.json", "duplicate key \"a\""});
  expect_corrupt(R"([{"x": {"k": 1, "k": 1}}])", {"duplicate key \"k\""});
  expect_corrupt(R"({"k": 1, "\u006b": 2})", {"duplicate key \"k\""});
  EXPECT_EQ(parse_json(R"([{"k": {"k": 1}}, {"k": 2}])", "test").size(), 2u);
}

TEST(Json, LargeObjectsAreIndexed) {
  // Scanning for each key, as nlohmann::ordered_json does, would take minutes here.
  constexpr int kKeys = 100'000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += fmt::format("{}\"k{}\":{}", i > 0 ? "," : "", i, i);
  Json json = parse_json(text + "}", "large.json");
  ASSERT_EQ(json.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(json.begin().key(), "k0");
  EXPECT_EQ(json["k99999"], 99'999);
  json.erase("k5");
  EXPECT_FALSE(json.contains("k5"));
  EXPECT_EQ(json["k6"], 6);
  Json copy = json;
  copy["k7"] = -1;
  copy["new"] = 1;
  EXPECT_EQ(json["k7"], 7);
  EXPECT_EQ(copy["k7"], -1);
  EXPECT_EQ(copy.size(), json.size() + 1);
  const Json moved = std::move(copy);
  EXPECT_EQ(moved["new"], 1);
}

TEST(Json, ManyObjectsTakeLinearTime) {
  // Looking through what was read before at the end of each, as nlohmann's parser with a callback
  // does, would take minutes here.
  constexpr int kObjects = 200'000;
  std::string text = "[";
  for (int i = 0; i < kObjects; ++i) text += fmt::format("{}{{\"a\":[{}]}}", i > 0 ? "," : "", i);
  const Json json = parse_json(text + "]", "large.json");
  ASSERT_EQ(json.size(), static_cast<size_t>(kObjects));
  EXPECT_EQ(json[kObjects - 1]["a"][0], kObjects - 1);

  std::string object = "{";
  for (int i = 0; i < kObjects; ++i) object += fmt::format("{}\"k{}\":{{}}", i > 0 ? "," : "", i);
  EXPECT_EQ(parse_json(object + "}", "large.json").size(), static_cast<size_t>(kObjects));
}

TEST(Json, KeepsEveryKindOfValue) {
  const Json json = parse_json(
      R"([[], {}, {"a": [{}, []]}, -1, 18446744073709551615, 1e3, "", false])", "kinds.json");
  EXPECT_EQ(json.dump(), R"([[],{},{"a":[{},[]]},-1,18446744073709551615,1000.0,"",false])");
  EXPECT_TRUE(json[0].is_array());
  EXPECT_TRUE(json[1].is_object());
  EXPECT_TRUE(json[4].is_number_unsigned());
  EXPECT_TRUE(json[5].is_number_float());
  EXPECT_EQ(parse_json("null", "x"), Json());
  EXPECT_EQ(parse_json(" 7 ", "x"), 7);
}

TEST(Json, RefusesByteOrderMarksAndNulBytes) {
  EXPECT_THROW(parse_json("\xef\xbb\xbf{}", "x"), Error);
  EXPECT_THROW(parse_json(std::string_view("{}\0rest", 7), "x"), Error);
}

TEST(Json, LimitsDepth) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + "1" + std::string(depth, ']');
  };
  EXPECT_NO_THROW((void)parse_json(nested(64), "test"));
  expect_corrupt(nested(65), {"config.json", "deeper than 64"});
  expect_corrupt(std::string(1000000, '['), {"deeper than 64"});
  expect_corrupt("[[[[1]]]]", {"deeper than 2"}, {2, 1000});
}

TEST(Json, LimitsSize) {
  expect_corrupt("[1, 2, 3]", {"9 bytes", "8"}, {64, 8});
  EXPECT_NO_THROW((void)parse_json("[1, 2, 3]", "test", {64, 9}));
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text :
       {"", "{", "{} x", "[1,]", "{'a': 1}", "NaN", "[Infinity]", "1e999", "-1e999", "\"\xff\"",
        "// comment\n{}", "{\"a\" 1}", "nul", "01", "\"\\ud800\""}) {
    expect_corrupt(text, {"config.json", "not valid JSON"});
  }
}

TEST(JsonInteger, TakesWhatIsOneAndFits) {
  const auto integer = [](const char* text) {
    return json_integer(parse_json(text, "test"), INT32_MIN, INT32_MAX);
  };
  EXPECT_EQ(integer("62"), 62);
  EXPECT_EQ(integer("-2147483648"), INT32_MIN);
  EXPECT_EQ(integer("2147483647"), INT32_MAX);
  EXPECT_EQ(integer("50.0"), 50);
  EXPECT_EQ(integer("-0.0"), 0);
  for (const char* text : {"4294967358", "2147483648", "-2147483649", "9223372036854775870",
                           "18446744073709551615", "99999999999999999999", "1e300", "-1e300", "1.5",
                           "1e-300", "true", "null", "\"62\"", "[62]", "{}"}) {
    EXPECT_EQ(integer(text), std::nullopt) << text;
  }
  const auto any = [](const char* text) {
    return json_integer(parse_json(text, "test"), INT64_MIN, INT64_MAX);
  };
  EXPECT_EQ(any("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(any("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(any("9007199254740992.0"), int64_t{1} << 53);
  EXPECT_EQ(any("9223372036854775808"), std::nullopt);
  EXPECT_EQ(any("9223372036854775807.0"), std::nullopt);  // not what was written
}

TEST(JsonFloat, TakesWhatFp32CanHold) {
  const auto number = [](const char* text) { return json_float(parse_json(text, "test")); };
  EXPECT_EQ(number("0.5"), 0.5f);
  EXPECT_EQ(number("-3"), -3.0f);
  EXPECT_EQ(number("0"), 0.0f);
  EXPECT_EQ(number("3.4028234663852886e38"), std::numeric_limits<float>::max());
  EXPECT_EQ(number("1e-45"), std::numeric_limits<float>::denorm_min());
  for (const char* text :
       {"1e300", "-1e300", "3.5e38", "1e-300", "true", "null", "\"0.5\"", "[]"}) {
    EXPECT_EQ(number(text), std::nullopt) << text;
  }
}

TEST(JsonForMessage, IsShortAndPlain) {
  EXPECT_EQ(json_for_message(Json("\x1b[31m\xc3\xa9")), "\"\\u001b[31m\\u00e9\"");
  const std::string text = json_for_message(Json(std::string(1000, 'x')));
  EXPECT_EQ(text.size(), 60u);
  EXPECT_TRUE(text.ends_with("..."));
}

}  // namespace
}  // namespace tq
