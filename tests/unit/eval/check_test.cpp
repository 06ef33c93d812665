#include "eval/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

bool holds(const char* check, const char* answer) {
  return passes(read_check(parse_json(check, "check"), "here"), answer);
}

TEST(Check, TextsAreWholeWords) {
  EXPECT_TRUE(holds(R"({"contains_any": ["no", "never"]})", "No, it is not."));
  EXPECT_FALSE(holds(R"({"contains_any": ["no"]})", "I know nothing"));
  EXPECT_TRUE(holds(R"({"contains_any": ["ilmai*"]})", "Se on ILMAISTA."));
  EXPECT_FALSE(holds(R"({"contains_any": ["ilmai"]})", "Se on ilmaista."));
  EXPECT_FALSE(holds(R"({"contains_any": ["ei"]})", "eikö, keitä"));
  EXPECT_FALSE(holds(R"({"contains_any": ["ei"]})", "äei"));  // a letter of two bytes before it
  EXPECT_TRUE(holds(R"({"contains_all": ["0800 555 010", "ÄLÄ"]})", "älä soita: 0800 555 010."));
  EXPECT_FALSE(holds(R"({"contains_all": ["a", "b"]})", "a c"));
  EXPECT_TRUE(holds(R"({"absent": ["dB"]})", "no idea"));
  EXPECT_FALSE(holds(R"({"absent": ["dB"]})", "About 60 dB"));
}

TEST(Check, AnEmptyAnswerPassesNothing) {
  for (const char* check :
       {R"({"absent": ["x"]})", R"({"most_words": 5})", R"({"language": "en"})"}) {
    EXPECT_FALSE(holds(check, " \n"));
  }
}

TEST(Check, NumbersAreReadAsPeopleWriteThem) {
  EXPECT_THAT(numbers_of("1,7 l"), ElementsAre(1.7));
  EXPECT_THAT(numbers_of("7 344,50 € or 7\xC2\xA0"
                         "344.50, 7,344.50 and 7.344,50"),
              ElementsAre(7344.5, 7344.5, 7344.5, 7344.5));
  EXPECT_THAT(numbers_of("31,500"), ElementsAre(31.5, 31500));  // either
  EXPECT_THAT(numbers_of("1.234.567"), ElementsAre(1234567));
  EXPECT_THAT(numbers_of("-5, 3-4"), ElementsAre(-5, 3, 4));
  EXPECT_THAT(numbers_of("none."), IsEmpty());
  EXPECT_THAT(numbers_of("15."), ElementsAre(15));
  EXPECT_TRUE(holds(R"({"number": 31500})", "It costs 31,500 euros."));
  EXPECT_FALSE(holds(R"({"number": 10})", "It costs 100 euros or 10.5."));
  EXPECT_TRUE(holds(R"({"number": 9, "tolerance": 0.7})", "about 9.4 times"));
}

TEST(Check, JsonStandsAlone) {
  constexpr const char* kCheck = R"({"json": ["people", "each"]})";
  EXPECT_TRUE(holds(kCheck, R"({"people": 6, "each": 120, "more": 1})"));
  EXPECT_TRUE(holds(kCheck, "```json\n{\"people\": 6, \"each\": 120}\n```"));
  EXPECT_FALSE(holds(kCheck, R"(Here it is: {"people": 6, "each": 120})"));
  EXPECT_FALSE(holds(kCheck, R"({"people": 6})"));
  EXPECT_FALSE(holds(kCheck, R"(["people", "each"])"));
}

TEST(Check, WordsAreCounted) {
  EXPECT_TRUE(holds(R"({"most_words": 3})", "Yksi, kaksi — kolme!"));
  EXPECT_FALSE(holds(R"({"most_words": 2})", "Yksi, kaksi — kolme!"));
  EXPECT_FALSE(holds(R"({"least_words": 4})", "Yksi, kaksi — kolme!"));
  EXPECT_TRUE(holds(R"({"language": "fi"})", "Se on hyvä, koska se on halpa."));
}

TEST(Check, WhatIsNoCheckIsRefused) {
  const auto refused = [](const char* text, const char* part) {
    expect_error(ErrorCode::kCorrupt, {"file: turns[0]", part},
                 [&] { read_check(parse_json(text, "check"), "file: turns[0]"); });
  };
  refused("[]", "object");
  refused(R"({"name": "x"})", "one thing");
  refused(R"({"number": 1, "absent": ["x"]})", "one thing");
  refused(R"({"contain": ["x"]})", "contain");
  refused(R"({"absent": []})", "list of texts");
  refused(R"({"absent": [""]})", "list of texts");
  refused(R"({"absent": "x"})", "list of texts");
  refused(R"({"number": "x"})", "number");
  refused(R"({"language": "xx"})", "xx");
}

}  // namespace
}  // namespace tq
