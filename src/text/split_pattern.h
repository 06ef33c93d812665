// SplitPattern: finds the places where a pre-tokenizer cuts. The patterns of the GPT-2, Llama 3,
// Qwen and GLM families are scanned by hand, any other regex runs through PCRE2, a plain string
// through a search. Immutable and thread safe.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/text_budget.h"

namespace tq {

struct Span {
  size_t begin;
  size_t end;
};

// The pattern that the ByteLevel pre-tokenizer splits by when "use_regex" is set.
extern const char* const kGpt2Pattern;

class SplitPattern {
 public:
  // Throws kCorrupt for a regex that does not compile.
  static SplitPattern regex(const std::string& pattern);
  static SplitPattern literal(std::string pattern);

  // Appends the matches in valid UTF-8 text, in order and without overlap, to `matches`. Throws
  // kUnsupported when a regex backtracks past PCRE2's limit or takes longer than the budget.
  void find(std::string_view text, std::vector<Span>& matches, TextBudget& budget) const {
    find_(text, matches, budget);
  }

  bool is_scanned() const { return is_scanned_; }  // by a scanner of ours

 private:
  using Find = std::function<void(std::string_view, std::vector<Span>&, TextBudget&)>;
  SplitPattern(Find find, bool is_scanned) : find_(std::move(find)), is_scanned_(is_scanned) {}

  Find find_;
  bool is_scanned_;
};

}  // namespace tq
