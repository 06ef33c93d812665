// AddedTokens: the "added_tokens" of a tokenizer.json, found in text before BPE sees it: leftmost
// first, then longest. Immutable and thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/text_budget.h"

namespace tq {

class Normalizer;

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = false;
  bool normalized = false;   // looked for in normalised text, else in the text as it came
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool single_word = false;  // not when a word character touches it
};

class AddedTokens {
 public:
  struct Segment {
    std::string_view text;
    int32_t id;  // -1: ordinary text
  };

  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);
  AddedTokens(const AddedTokens&) = delete;  // by_content_ points into tokens_
  AddedTokens& operator=(const AddedTokens&) = delete;

  // Cuts text as it came (normalized false), or normalised text (true), into ordinary segments and
  // added tokens; no segment is empty. Special tokens stay ordinary text without parse_special.
  // With tokens that take the white space around them segments may overlap.
  std::vector<Segment> split(std::string_view text, bool normalized, bool parse_special,
                             TextBudget& budget) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* find(std::string_view content) const;

 private:
  // A byte trie; children of a node are linked through next_sibling.
  class Trie {
   public:
    void insert(std::string_view pattern, int32_t value, TextBudget& budget);
    // The longest pattern at text[pos]: its value and size, or -1.
    struct Match {
      int32_t value;
      size_t size;
    };
    Match longest(std::string_view text, size_t pos, TextBudget& budget) const;

   private:
    struct Node {
      char byte = 0;
      int32_t value = -1;
      int32_t first_child = -1;
      int32_t next_sibling = -1;
    };
    int32_t child(int32_t node, char byte, TextBudget& budget) const;

    std::vector<Node> nodes_ = std::vector<Node>(1);  // the root
    int32_t by_first_byte_[256] = {};                 // children of the root; 0: none
  };

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string_view, size_t> by_content_;
  Trie raw_;  // values: indices into tokens_
  Trie normalized_;
};

}  // namespace tq
