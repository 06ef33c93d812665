#include "text/vocab.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/error.h"

namespace tq {

Vocab::Vocab(const std::vector<Entry>& entries) {
  size_t text_bytes = 0;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id > kMaxId) {
      fail(ErrorCode::kCorrupt, "tokenizer.json: token \"{}\" has id {}, not in 0..{}", entry.token,
           entry.id, kMaxId);
    }
    size_ = std::max(size_, static_cast<int32_t>(entry.id) + 1);
    text_bytes += entry.token.size();
  }
  if (text_bytes > std::numeric_limits<uint32_t>::max()) {
    fail(ErrorCode::kCorrupt, "tokenizer.json: {} bytes of vocabulary", text_bytes);
  }
  std::vector<const Entry*> by_id(static_cast<size_t>(size_), nullptr);
  for (const Entry& entry : entries) {
    const Entry*& place = by_id[static_cast<size_t>(entry.id)];
    if (place != nullptr) {
      fail(ErrorCode::kCorrupt, "tokenizer.json: tokens \"{}\" and \"{}\" both have id {}",
           place->token, entry.token, entry.id);
    }
    place = &entry;
  }
  text_.reserve(text_bytes);
  begin_.reserve(by_id.size() + 1);
  present_.reserve(by_id.size());
  for (const Entry* entry : by_id) {
    begin_.push_back(static_cast<uint32_t>(text_.size()));
    present_.push_back(entry != nullptr);
    if (entry != nullptr) text_ += entry->token;
  }
  begin_.push_back(static_cast<uint32_t>(text_.size()));

  slots_.assign(std::bit_ceil(entries.size() * 2 + 1), -1);
  for (const Entry& entry : entries) {
    int32_t& slot = slots_[slot_of(entry.token)];
    if (slot >= 0) {
      fail(ErrorCode::kCorrupt, "tokenizer.json: token \"{}\" occurs twice", entry.token);
    }
    slot = static_cast<int32_t>(entry.id);
  }
  n_tokens_ = static_cast<int32_t>(entries.size());
}

size_t Vocab::slot_of(std::string_view wanted) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = std::hash<std::string_view>()(wanted) & mask;
  while (slots_[slot] >= 0 && token(slots_[slot]) != wanted) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocab::find(std::string_view token) const {
  return slots_.empty() ? -1 : slots_[slot_of(token)];
}

bool Vocab::has(int32_t id) const {
  return id >= 0 && id < size_ && present_[static_cast<size_t>(id)];
}

std::string_view Vocab::token(int32_t id) const {
  if (id < 0 || id >= size_) return {};
  const auto i = static_cast<size_t>(id);
  return std::string_view(text_).substr(begin_[i], begin_[i + 1] - begin_[i]);
}

}  // namespace tq
