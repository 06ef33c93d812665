// Checks of an answer that need no judge: each is true or false, and the same for everybody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

// What a scenario asks of one answer (docs/evaluation.md, "Scenarios").
struct Check {
  enum class Kind {
    kLanguage,     // {"language": "fi"}: the answer is in it
    kContainsAny,  // {"contains_any": ["a", "b"]}: one of the texts at least
    kContainsAll,  // {"contains_all": [...]}: every one
    kAbsent,       // {"absent": [...]}: none
    kNumber,       // {"number": 42, "tolerance": 0.5}: this number stands somewhere
    kJson,         // {"json": ["name", "age"]}: an object with these members, and nothing else
    kMostWords,    // {"most_words": 60}
    kLeastWords,   // {"least_words": 5}
  };
  Kind kind = Kind::kLanguage;
  std::string name;  // what it is about: "remembers the order's number"
  std::vector<std::string> texts = {};
  double number = 0;  // or a count of words
  double tolerance = 0;
};

// Throws kCorrupt for what is no check; where: file and place, for messages.
Check read_check(const Json& json, const std::string& where);

// Texts are looked for as whole words; one that ends with '*' may go on in the same word. Capitals
// and small letters are the same. An empty answer passes no check, whatever is asked.
bool passes(const Check& check, std::string_view answer);

// All numbers of a text, in order: "1 234,50 €" is 1234.5 and "1,234.50" as well; where a single
// comma or point could be either, both readings are given.
std::vector<double> numbers_of(std::string_view text);

}  // namespace tq
