#include "grammar/vocabulary.h"

#include <algorithm>
#include <utility>

#include "grammar/builder.h"
#include "grammar/grammar.h"

namespace tq {

Vocabulary::Vocabulary(const Tokenizer& tokenizer, std::span<const int32_t> excluded)
    : size_(tokenizer.vocab_size()), places_(static_cast<size_t>(size_), -1) {
  std::vector<bool> is_excluded(static_cast<size_t>(size_), false);
  for (const int32_t id : excluded) {
    if (id >= 0 && id < size_) is_excluded[static_cast<size_t>(id)] = true;
  }
  std::vector<std::pair<std::string, int32_t>> tokens;
  for (int32_t id = 0; id < size_; ++id) {
    if (is_excluded[static_cast<size_t>(id)]) continue;
    std::string bytes =
        tokenizer.is_special(id) ? special_token_bytes(id) : tokenizer.token_bytes(id);
    // 0xFF stands for special tokens, and in no text.
    if (bytes.empty() || bytes.size() > kMostBytes) continue;
    if (!tokenizer.is_special(id) && bytes.find('\xFF') != std::string::npos) continue;
    tokens.emplace_back(std::move(bytes), id);
  }
  std::sort(tokens.begin(), tokens.end());
  for (const auto& [bytes, id] : tokens) {
    const auto place = static_cast<int32_t>(ids_.size());
    places_[static_cast<size_t>(id)] = place;
    if (static_cast<int64_t>(bytes.size()) > Grammar::kLookahead) long_places_.push_back(place);
    begins_.push_back(static_cast<uint32_t>(bytes_.size()));
    ids_.push_back(id);
    bytes_ += bytes;
  }
  begins_.push_back(static_cast<uint32_t>(bytes_.size()));
  build_nodes();
}

void Vocabulary::build_nodes() {
  std::vector<size_t> path;  // nodes from the root to the last token
  const auto cut = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
      path.pop_back();
    }
  };
  std::string_view before;
  for (int32_t place = 0; place < n_places(); ++place) {
    const std::string_view bytes = bytes_at(place);
    const auto differ = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    cut(static_cast<size_t>(differ.first - before.begin()));
    for (size_t depth = path.size(); depth < bytes.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back(
          {0, place, 0, static_cast<uint8_t>(depth), static_cast<uint8_t>(bytes[depth])});
    }
    Node& node = nodes_[path.back()];
    if (node.n_tokens == 0) node.tokens_begin = place;
    if (node.n_tokens < UINT16_MAX) ++node.n_tokens;
    before = bytes;
  }
  cut(0);
}

std::string_view Vocabulary::bytes_of(int32_t id) const {
  if (id < 0 || id >= size_ || places_[static_cast<size_t>(id)] < 0) return {};
  return bytes_at(places_[static_cast<size_t>(id)]);
}

}  // namespace tq
