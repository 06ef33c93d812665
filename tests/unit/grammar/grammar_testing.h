// What tests of grammars share: a tokenizer whose tokens a test chooses, and texts pushed through a
// matcher.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "text/tokenizer.h"

namespace tq::fixtures {

// Tokens by their bytes; those that begin with "<|" are special.
class ListTokenizer : public Tokenizer {
 public:
  explicit ListTokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  // Every byte is a token, then the others.
  static std::shared_ptr<const ListTokenizer> bytes_and(const std::vector<std::string>& others) {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    tokens.insert(tokens.end(), others.begin(), others.end());
    return std::make_shared<const ListTokenizer>(std::move(tokens));
  }

  std::vector<int32_t> encode(std::string_view, const EncodeTextOptions&) const override {
    return {};
  }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (!skip_special || !is_special(id)) text += token_bytes(id);
    }
    return text;
  }
  std::string token_bytes(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? tokens_[static_cast<size_t>(id)] : "";
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  bool is_special(int32_t id) const override { return token_bytes(id).starts_with("<|"); }
  std::optional<int32_t> token_id(std::string_view token) const override {
    for (int32_t id = 0; id < vocab_size(); ++id) {
      if (tokens_[static_cast<size_t>(id)] == token) return id;
    }
    return std::nullopt;
  }
  std::optional<int32_t> bos() const override { return std::nullopt; }
  std::optional<int32_t> eos() const override { return std::nullopt; }

 private:
  std::vector<std::string> tokens_;
};

inline std::shared_ptr<TokenGrammar> over(GrammarPtr grammar,
                                          const std::shared_ptr<const Tokenizer>& tokenizer) {
  return std::make_shared<TokenGrammar>(std::move(grammar),
                                        std::make_shared<const Vocabulary>(*tokenizer));
}

// The tokens that may come next.
inline std::vector<std::string> allowed(GrammarMatcher& matcher, const Tokenizer& tokenizer) {
  std::vector<uint32_t> bits((static_cast<size_t>(tokenizer.vocab_size()) + 31) / 32, ~0u);
  matcher.fill_mask(bits);
  std::vector<std::string> found;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1) {
      found.push_back(tokenizer.token_bytes(id));
    }
  }
  return found;
}

}  // namespace tq::fixtures
