// Tokenizer: text to token ids and back, as a Hugging Face tokenizer.json describes it (byte-level
// BPE, and BPE with byte fallback as Gemma's). Immutable and thread safe after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

struct EncodeTextOptions {
  bool add_special = true;    // what the tokenizer's post-processor adds (BOS ...)
  bool parse_special = true;  // special tokens written in the text become their ids
};

class Tokenizer {
 public:
  // From the text of tokenizer.json and, if there, tokenizer_config.json (empty strings when
  // absent). Throws kUnsupported for a model, normalizer, pre-tokenizer, post-processor or decoder
  // it would get wrong, kCorrupt for a damaged file. encode() adds what the post-processor adds,
  // and BOS where tokenizer_config.json says "add_bos_token": true and the post-processor does not
  // (false is the default, and takes nothing away). Truncation and padding are never applied.
  static std::shared_ptr<const Tokenizer> from_json(std::string_view tokenizer_json,
                                                    std::string_view tokenizer_config_json = {});
  virtual ~Tokenizer() = default;

  // Bytes that are not UTF-8 count as U+FFFD each invalid part, as Python's errors="replace" reads
  // them. Throws kInvalidArgument for text of more than 512 MiB.
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeTextOptions& options = {}) const = 0;
  // The bytes of all ids run together; may end inside a UTF-8 character. Ids outside the vocabulary
  // give nothing.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special) const = 0;
  // The bytes one id stands for (special tokens: their text).
  virtual std::string token_bytes(int32_t id) const = 0;

  virtual int32_t vocab_size() const = 0;  // highest id + 1
  virtual bool is_special(int32_t id) const = 0;
  virtual std::optional<int32_t> token_id(std::string_view token) const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
};

// Turns a stream of ids into text that is always whole UTF-8 characters. One per sequence.
class StreamDetokenizer {
 public:
  // skip_special leaves special tokens out, except those of `shown`. at_start: the ids begin a
  // text, of whose first token some decoders drop a space.
  StreamDetokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
                    std::vector<int32_t> shown = {}, bool at_start = true);
  // The text that this id completes; may be empty.
  std::string push(int32_t id);
  // What is left (an unfinished character becomes U+FFFD).
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::vector<int32_t> shown_;
  bool at_start_;  // of the text
  std::string pending_;
};

// Ids of a text, and BOS if they began with it: apart, as it stands before every part of the text.
struct TextIds {
  std::vector<int32_t> ids;
  std::vector<int32_t> prefix;  // BOS, or empty
};
TextIds split_bos(const Tokenizer& tokenizer, std::vector<int32_t> ids);

}  // namespace tq
