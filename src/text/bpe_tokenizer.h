// BpeTokenizer: the Tokenizer of a tokenizer.json whose model is BPE. Text passes through the parts
// in this order: added tokens in raw text, normalizer, added tokens in normalised text,
// pre-tokenizer, BPE, post-processor. Immutable and thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"
#include "text/tokenizer.h"

namespace tq {

class BpeTokenizer final : public Tokenizer {
 public:
  struct Parts {
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    BpeModel model;
    std::vector<AddedToken> added_tokens;
    PostProcessor post_processor;
    TokenDecoder decoder;
    std::optional<std::string> bos_token;
    std::optional<std::string> eos_token;
    bool add_bos = false;  // before a text, if the post-processor does not
  };
  // Throws kCorrupt when an id is claimed twice or the post-processor adds an id without token.
  explicit BpeTokenizer(Parts parts);

  std::vector<int32_t> encode(std::string_view text,
                              const EncodeTextOptions& options) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  std::string token_bytes(int32_t id) const override;
  int32_t vocab_size() const override { return static_cast<int32_t>(bytes_begin_.size()) - 1; }
  bool is_special(int32_t id) const override;
  std::optional<int32_t> token_id(std::string_view token) const override;
  std::optional<int32_t> bos() const override { return bos_; }
  std::optional<int32_t> eos() const override { return eos_; }

 private:
  struct Scratch {
    explicit Scratch(size_t text_bytes) : budget(text_bytes) { words.budget = &budget; }

    TextBudget budget;
    PreTokenizer::Scratch words;
    BpeModel::Scratch bpe;
  };
  void encode_raw(std::string_view text, bool at_start, bool parse_special,
                  std::vector<int32_t>& ids, Scratch& scratch) const;
  void build_token_bytes(const TokenDecoder& decoder);
  std::string_view bytes_of(int32_t id) const;

  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  AddedTokens added_tokens_;
  PostProcessor post_processor_;
  TokenDecoder decoder_;
  std::string bytes_;                  // of all tokens, run together by id
  std::vector<uint64_t> bytes_begin_;  // [vocab_size + 1] into bytes_
  std::vector<bool> special_;          // [vocab_size]
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
};

}  // namespace tq
