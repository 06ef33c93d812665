// Vocab: token strings by id and ids by token string, packed into one block of text. Immutable
// after construction, thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

class Vocab {
 public:
  // Far above any real vocabulary; keeps a hostile file from asking for the whole memory.
  static constexpr int64_t kMaxId = (int64_t{1} << 22) - 1;

  struct Entry {
    std::string_view token;
    int64_t id;
  };

  Vocab() = default;
  // Throws kCorrupt for a token or an id that occurs twice and an id outside [0, kMaxId].
  explicit Vocab(const std::vector<Entry>& entries);

  int32_t find(std::string_view token) const;  // -1 when there is none
  bool has(int32_t id) const;
  std::string_view token(int32_t id) const;  // empty when there is none
  int32_t size() const { return size_; }     // highest id + 1
  int32_t n_tokens() const { return n_tokens_; }

 private:
  size_t slot_of(std::string_view token) const;

  std::string text_;
  std::vector<uint32_t> begin_;  // [size + 1] into text_
  std::vector<bool> present_;    // [size]: ids may have holes
  std::vector<int32_t> slots_;   // open addressing; -1 is free
  int32_t size_ = 0;
  int32_t n_tokens_ = 0;
};

}  // namespace tq
