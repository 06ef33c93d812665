// Normalizer: what a tokenizer.json does to text before splitting it: Replace (of a string),
// Prepend, NFC, or a Sequence of them. Immutable and thread safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/text_budget.h"

namespace tq {

class Normalizer {
 public:
  // From the "normalizer" section; null does nothing. Throws kUnsupported for any other kind.
  explicit Normalizer(const Json& section);

  // text must be valid UTF-8, and so is the result. Throws past the budget.
  std::string apply(std::string_view text, TextBudget& budget) const;

 private:
  enum class Kind { kReplace, kPrepend, kNfc };
  struct Step {
    Kind kind;
    std::string pattern;  // kReplace
    std::string content;  // kReplace, kPrepend
  };
  std::vector<Step> steps_;
};

// text with every occurrence of pattern, left to right, replaced. Throws when it would be longer
// than what the budget has room for.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content,
                        TextBudget& budget);

// The string of a {"String": ...} pattern; kUnsupported for a {"Regex": ...}.
class JsonComponent;
std::string read_string_pattern(JsonComponent& component);

}  // namespace tq
