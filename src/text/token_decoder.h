// TokenDecoder: how a token's string becomes the bytes it stands for, from the "decoder" section of
// a tokenizer.json: ByteLevel, Metaspace, or a Sequence of Replace, ByteFallback, Fuse and Strip.
// Immutable and thread safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/text_budget.h"

namespace tq {

class TokenDecoder {
 public:
  // Throws kUnsupported for any other kind, and for null.
  explicit TokenDecoder(const Json& section);

  // The bytes of a token inside a text. An invalid run of byte tokens stays as it is here; Hugging
  // Face turns each of its bytes into U+FFFD, and so does our StreamDetokenizer for the bytes that
  // are invalid.
  // Throws when the rules multiply the tokens beyond the budget.
  std::string bytes(std::string_view token, TextBudget& budget) const;

  // How many of those bytes to drop at the front when the token is the first one of a text (the
  // space that encoding put there).
  size_t first_token_drop(std::string_view bytes) const;

 private:
  bool byte_level_ = false;
  bool byte_fallback_ = false;
  std::vector<std::pair<std::string, std::string>> replacements_;
  std::string strip_;  // dropped at the start: once, or as often as it is there
  bool strip_all_ = false;
};

}  // namespace tq
