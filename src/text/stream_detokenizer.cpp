#include <algorithm>
#include <utility>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tq {

StreamDetokenizer::StreamDetokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
                                     std::vector<int32_t> shown, bool at_start)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      shown_(std::move(shown)),
      at_start_(at_start) {}

std::string StreamDetokenizer::push(int32_t id) {
  if (skip_special_ && tokenizer_->is_special(id) &&
      std::find(shown_.begin(), shown_.end(), id) == shown_.end()) {
    return {};
  }
  std::string bytes = tokenizer_->token_bytes(id);
  if (bytes.empty()) return {};
  // Only decode() knows what a decoder drops at the start of a text.
  if (std::exchange(at_start_, false)) bytes = tokenizer_->decode({&id, 1}, false);
  pending_ += bytes;
  return take_whole_utf8(pending_);
}

std::string StreamDetokenizer::finish() {
  return replace_invalid_utf8(std::exchange(pending_, {}));
}

}  // namespace tq
