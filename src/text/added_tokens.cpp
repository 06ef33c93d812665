#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/normalizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

bool is_space(char32_t c) { return char_class(c) == CharClass::kSpace; }

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word_char(utf8_at(text, 0).code_point);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_char(utf8_last(text).code_point);
}

size_t leading_space(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    const Utf8Char c = utf8_at(text, pos);
    if (!is_space(c.code_point)) break;
    pos += static_cast<size_t>(c.size_bytes);
  }
  return pos;
}

size_t trailing_space(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty()) {
    const Utf8Char c = utf8_last(text);
    if (!is_space(c.code_point)) break;
    text.remove_suffix(static_cast<size_t>(c.size_bytes));
  }
  return size - text.size();
}

}  // namespace

// Children are a list: what is looked at is work.
int32_t AddedTokens::Trie::child(int32_t node, char byte, TextBudget& budget) const {
  if (node == 0) {
    const int32_t first = by_first_byte_[static_cast<unsigned char>(byte)];
    return first == 0 ? -1 : first;
  }
  int32_t next = nodes_[static_cast<size_t>(node)].first_child;
  size_t n = 1;
  for (; next >= 0 && nodes_[static_cast<size_t>(next)].byte != byte; ++n) {
    next = nodes_[static_cast<size_t>(next)].next_sibling;
  }
  budget.work(n);
  return next;
}

void AddedTokens::Trie::insert(std::string_view pattern, int32_t value, TextBudget& budget) {
  int32_t node = 0;
  for (const char byte : pattern) {
    int32_t next = child(node, byte, budget);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      Node added{.byte = byte};
      if (node == 0) {
        by_first_byte_[static_cast<unsigned char>(byte)] = next;
      } else {
        added.next_sibling = std::exchange(nodes_[static_cast<size_t>(node)].first_child, next);
      }
      nodes_.push_back(added);
    }
    node = next;
  }
  if (node != 0) nodes_[static_cast<size_t>(node)].value = value;
}

AddedTokens::Trie::Match AddedTokens::Trie::longest(std::string_view text, size_t pos,
                                                    TextBudget& budget) const {
  Match match{-1, 0};
  int32_t node = 0;
  for (size_t i = pos; i < text.size(); ++i) {
    node = child(node, text[i], budget);
    if (node < 0) break;
    const int32_t value = nodes_[static_cast<size_t>(node)].value;
    if (value >= 0) match = {value, i + 1 - pos};
  }
  return match;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer)
    : tokens_(std::move(tokens)) {
  size_t bytes = 0;
  for (const AddedToken& token : tokens_) bytes += token.content.size();
  TextBudget budget(bytes);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_content_.emplace(token.content, i);
    if (token.normalized) {
      normalized_.insert(normalizer.apply(token.content, budget), static_cast<int32_t>(i), budget);
    } else {
      raw_.insert(token.content, static_cast<int32_t>(i), budget);
    }
  }
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text, bool normalized,
                                                     bool parse_special, TextBudget& budget) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  std::vector<Segment> segments;
  size_t done = 0;       // text before this is in segments
  size_t space_end = 0;  // of the run of white space that was looked at last
  for (size_t pos = 0; pos < text.size();) {
    const Trie::Match match = trie.longest(text, pos, budget);
    if (match.value < 0) {
      ++pos;
      continue;
    }
    size_t begin = pos;
    size_t end = pos + match.size;
    // A match that is turned down still hides those inside it; one that takes the white space after
    // it does not hide tokens that begin there (as Hugging Face has it).
    pos = end;
    const AddedToken& token = tokens_[static_cast<size_t>(match.value)];
    if (token.special && !parse_special) continue;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) {
      if (begin > done) begin -= trailing_space(text.substr(done, begin - done));
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      if (end >= space_end) space_end = end + leading_space(text.substr(end));
      end = space_end;
    }
    if (done < begin) segments.push_back({text.substr(done, begin - done), -1});
    if (begin < end) segments.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) segments.push_back({text.substr(done), -1});
  return segments;
}

}  // namespace tq
