#include "text/bpe_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "text/utf8.h"

namespace tq {

BpeTokenizer::BpeTokenizer(Parts parts)
    : normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      model_(std::move(parts.model)),
      added_tokens_(std::move(parts.added_tokens), normalizer_),
      post_processor_(std::move(parts.post_processor)),
      decoder_(std::move(parts.decoder)) {
  build_token_bytes(decoder_);
  for (const auto* ids : {&post_processor_.before(), &post_processor_.after()}) {
    for (const int32_t id : *ids) {
      if (bytes_of(id).empty()) {
        fail(ErrorCode::kCorrupt, "tokenizer.json: post_processor adds id {}, which is no token",
             id);
      }
    }
  }
  if (parts.bos_token) bos_ = token_id(*parts.bos_token);
  if (parts.eos_token) eos_ = token_id(*parts.eos_token);
  if (parts.add_bos && bos_) post_processor_.begin_with(*bos_);
}

// Decodes every token once; also finds which ids are special.
void BpeTokenizer::build_token_bytes(const TokenDecoder& decoder) {
  const Vocab& vocab = model_.vocab();
  int32_t size = vocab.size();
  for (const AddedToken& token : added_tokens_.tokens()) size = std::max(size, token.id + 1);
  std::vector<const AddedToken*> added(static_cast<size_t>(size), nullptr);
  special_.assign(static_cast<size_t>(size), false);
  for (const AddedToken& token : added_tokens_.tokens()) {
    const auto id = static_cast<size_t>(token.id);
    const int32_t in_model = vocab.find(token.content);
    const bool id_is_taken = added[id] != nullptr || (in_model != token.id && vocab.has(token.id));
    if (id_is_taken || (in_model >= 0 && in_model != token.id)) {
      fail(ErrorCode::kCorrupt,
           "tokenizer.json: added token \"{}\" with id {} contradicts the rest of the vocabulary",
           token.content, token.id);
    }
    added[id] = &token;
    special_[id] = token.special;
  }
  size_t text_bytes = 0;
  for (int32_t id = 0; id < vocab.size(); ++id) text_bytes += vocab.token(id).size();
  for (const AddedToken& token : added_tokens_.tokens()) text_bytes += token.content.size();
  TextBudget budget(text_bytes);
  bytes_begin_.reserve(static_cast<size_t>(size) + 1);
  for (int32_t id = 0; id < size; ++id) {
    bytes_begin_.push_back(bytes_.size());
    const AddedToken* token = added[static_cast<size_t>(id)];
    bytes_ += decoder.bytes(token != nullptr ? token->content : vocab.token(id), budget);
  }
  bytes_begin_.push_back(bytes_.size());
}

std::string_view BpeTokenizer::bytes_of(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  const uint64_t* begin = &bytes_begin_[static_cast<size_t>(id)];
  return std::string_view(bytes_).substr(begin[0], begin[1] - begin[0]);
}

// One stretch of text without added tokens in its raw form.
void BpeTokenizer::encode_raw(std::string_view text, bool at_start, bool parse_special,
                              std::vector<int32_t>& ids, Scratch& scratch) const {
  const std::string normalized = normalizer_.apply(text, scratch.budget);
  for (const auto& segment : added_tokens_.split(normalized, true, parse_special, scratch.budget)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
      continue;
    }
    const bool first = at_start && segment.text.data() == normalized.data();
    pre_tokenizer_.split({segment.text, first}, scratch.words);
    for (const auto& word : scratch.words.pieces) model_.encode(word.text, scratch.bpe, ids);
  }
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text,
                                          const EncodeTextOptions& options) const {
  if (text.size() > std::numeric_limits<int32_t>::max() / 4) {
    fail(ErrorCode::kInvalidArgument, "{} bytes are too long a text to tokenize at once",
         text.size());
  }
  std::string repaired;
  if (!is_valid_utf8(text)) text = repaired = replace_invalid_utf8(text);

  std::vector<int32_t> ids;
  if (options.add_special) ids = post_processor_.before();
  Scratch scratch(text.size());
  for (const auto& segment :
       added_tokens_.split(text, false, options.parse_special, scratch.budget)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      const bool at_start = segment.text.data() == text.data();
      encode_raw(segment.text, at_start, options.parse_special, ids, scratch);
    }
  }
  if (options.add_special) {
    ids.insert(ids.end(), post_processor_.after().begin(), post_processor_.after().end());
  }
  return ids;
}

std::string BpeTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  bool first = true;
  for (const int32_t id : ids) {
    if (skip_special && is_special(id)) continue;
    std::string_view bytes = bytes_of(id);
    if (bytes.empty()) continue;
    if (std::exchange(first, false)) bytes.remove_prefix(decoder_.first_token_drop(bytes));
    text += bytes;
  }
  return text;
}

std::string BpeTokenizer::token_bytes(int32_t id) const { return std::string(bytes_of(id)); }

bool BpeTokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

std::optional<int32_t> BpeTokenizer::token_id(std::string_view token) const {
  if (const AddedToken* added = added_tokens_.find(token)) return added->id;
  const int32_t id = model_.vocab().find(token);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

}  // namespace tq
