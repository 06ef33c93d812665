#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr uint64_t kFree = ~uint64_t{0};  // no pair: ids are not negative

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

size_t hash_pair(uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(pair ^ pair >> 29);
}

// Heap order: lowest rank on top, then leftmost.
struct Later {
  bool operator()(const BpeModel::Scratch::Candidate& a,
                  const BpeModel::Scratch::Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

}  // namespace

BpeModel::BpeModel(Vocab vocab, const std::vector<Merge>& merges, const Options& options)
    : vocab_(std::move(vocab)), options_(options), bmp_ids_(0x10000, -1) {
  slots_.assign(std::bit_ceil(merges.size() * 2 + 1), {kFree, 0, 0});
  const size_t mask = slots_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
    size_t slot = hash_pair(pair) & mask;
    while (slots_[slot].pair != kFree && slots_[slot].pair != pair) slot = (slot + 1) & mask;
    slots_[slot] = {pair, static_cast<int32_t>(rank), merges[rank].result};
  }
  for (int32_t id = 0; id < vocab_.size(); ++id) {
    const std::string_view token = vocab_.token(id);
    if (token.empty() || token.size() > 3) continue;
    const Utf8Char c = utf8_at(token, 0);
    if (static_cast<size_t>(c.size_bytes) == token.size()) bmp_ids_[c.code_point] = id;
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    fallback_ids_[byte] = vocab_.find(fmt::format("<0x{:02X}>", byte));
    append_utf8(byte_to_char(static_cast<unsigned char>(byte)), alphabet_[byte]);
  }
}

const BpeModel::Slot* BpeModel::find_merge(int32_t left, int32_t right) const {
  const uint64_t pair = pair_key(left, right);
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash_pair(pair) & mask;; slot = (slot + 1) & mask) {
    if (slots_[slot].pair == pair) return &slots_[slot];
    if (slots_[slot].pair == kFree) return nullptr;
  }
}

int32_t BpeModel::find_char(std::string_view character, char32_t code_point) const {
  return code_point < bmp_ids_.size() ? bmp_ids_[code_point] : vocab_.find(character);
}

// Byte fallback of an unknown character: all of its bytes have tokens, or none is used.
bool BpeModel::append_bytes(std::string_view character, std::vector<int32_t>& ids) const {
  const auto fallback = [&](char c) { return fallback_ids_[static_cast<unsigned char>(c)]; };
  if (std::any_of(character.begin(), character.end(), [&](char c) { return fallback(c) < 0; })) {
    return false;
  }
  for (const char c : character) ids.push_back(fallback(c));
  return true;
}

// The word's first ids, before any merge.
void BpeModel::start(std::string_view word, Scratch& scratch) const {
  std::vector<int32_t>& ids = scratch.ids;
  ids.clear();
  bool pending_unk = false;  // an unk that further unknown characters may still join
  for (size_t pos = 0; pos < word.size();) {
    std::string_view character;
    char32_t code_point = 0;
    if (options_.byte_level) {
      const auto byte = static_cast<unsigned char>(word[pos++]);
      character = alphabet_[byte];
      code_point = byte_to_char(byte);
    } else {
      const Utf8Char c = utf8_at(word, pos);
      character = word.substr(pos, static_cast<size_t>(c.size_bytes));
      code_point = c.code_point;
      pos += character.size();
    }
    const int32_t id = find_char(character, code_point);
    if (id >= 0) {
      if (std::exchange(pending_unk, false)) ids.push_back(options_.unk_id);
      ids.push_back(id);
    } else if (!(options_.byte_fallback && append_bytes(character, ids)) && options_.unk_id >= 0) {
      if (pending_unk && !options_.fuse_unk) ids.push_back(options_.unk_id);
      pending_unk = true;
    }
  }
  if (pending_unk) ids.push_back(options_.unk_id);
}

void BpeModel::push_candidate(int32_t position, Scratch& scratch) const {
  const Scratch::Symbol& left = scratch.symbols[static_cast<size_t>(position)];
  if (left.next < 0) return;
  const Scratch::Symbol& right = scratch.symbols[static_cast<size_t>(left.next)];
  if (const Slot* slot = find_merge(left.id, right.id)) {
    scratch.heap.push_back({slot->rank, position, left.id, right.id, slot->result});
  }
}

// Merges scratch.symbols, a doubly linked list; merged-away symbols keep id -1.
void BpeModel::merge(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto at = [&](int32_t i) -> Scratch::Symbol& { return symbols[static_cast<size_t>(i)]; };
  heap.clear();
  for (size_t i = 0; i < symbols.size(); ++i) push_candidate(static_cast<int32_t>(i), scratch);
  std::make_heap(heap.begin(), heap.end(), Later());
  const auto push = [&](int32_t position) {
    const size_t before = heap.size();
    push_candidate(position, scratch);
    if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), Later());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), Later());
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    Scratch::Symbol& left = at(best.position);
    // A candidate is stale once one of its two symbols has been merged.
    if (left.id != best.left || left.next < 0 || at(left.next).id != best.right) continue;
    const int32_t after = std::exchange(at(left.next), {-1, -1, -1}).next;
    left.id = best.result;
    left.next = after;
    if (after >= 0) at(after).previous = best.position;
    if (left.previous >= 0) push(left.previous);
    push(best.position);
  }
}

void BpeModel::encode(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const {
  if (options_.ignore_merges) {
    std::string_view token = word;
    if (options_.byte_level) {
      scratch.token.clear();
      for (const char c : word) scratch.token += alphabet_[static_cast<unsigned char>(c)];
      token = scratch.token;
    }
    const int32_t id = vocab_.find(token);
    if (id >= 0) {
      out.push_back(id);
      return;
    }
  }
  start(word, scratch);
  const auto n = static_cast<int32_t>(scratch.ids.size());
  scratch.symbols.clear();
  for (int32_t i = 0; i < n; ++i) {
    scratch.symbols.push_back({scratch.ids[static_cast<size_t>(i)], i - 1, i + 1 < n ? i + 1 : -1});
  }
  merge(scratch);
  for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = scratch.symbols[static_cast<size_t>(i)].next) {
    out.push_back(scratch.symbols[static_cast<size_t>(i)].id);
  }
}

}  // namespace tq
