// Vocabulary: the tokens of a tokenizer by their bytes, as a trie, for grammars. Made once for a
// tokenizer (0.2 s for 262,144 tokens); immutable and thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tq {

class Vocabulary {
 public:
  // excluded: ids that no grammar allows. A special token stands for special_token_bytes() only:
  // never for text. Tokens of more than kMostBytes are never allowed.
  explicit Vocabulary(const Tokenizer& tokenizer, std::span<const int32_t> excluded = {});

  static constexpr size_t kMostBytes = 255;

  // A node of the trie, in depth-first order: the byte that leads to it, and the tokens that end.
  struct Node {
    uint32_t end;          // the first node after its subtree
    int32_t tokens_begin;  // places
    uint16_t n_tokens;
    uint8_t depth;  // bytes before this one
    uint8_t byte;
  };

  int32_t size() const { return size_; }                                     // highest id + 1
  size_t n_words() const { return (static_cast<size_t>(size_) + 31) / 32; }  // of a bit each
  const std::vector<Node>& nodes() const { return nodes_; }
  // Places are tokens in the order of their bytes.
  int32_t n_places() const { return static_cast<int32_t>(ids_.size()); }
  int32_t id_at(int32_t place) const { return ids_[static_cast<size_t>(place)]; }
  std::string_view bytes_at(int32_t place) const {
    const auto at = static_cast<size_t>(place);
    return std::string_view(bytes_).substr(begins_[at], begins_[at + 1] - begins_[at]);
  }
  // The bytes of a token; empty for one that is never allowed.
  std::string_view bytes_of(int32_t id) const;
  // Places of tokens of more than Grammar::kLookahead bytes.
  const std::vector<int32_t>& long_places() const { return long_places_; }

 private:
  void build_nodes();

  int32_t size_;
  std::vector<int32_t> ids_;      // by place
  std::vector<int32_t> places_;   // by id; -1: never allowed
  std::vector<uint32_t> begins_;  // of places in bytes_
  std::string bytes_;
  std::vector<Node> nodes_;
  std::vector<int32_t> long_places_;
};

}  // namespace tq
