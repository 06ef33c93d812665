// BpeModel: byte pair encoding of one word. A word starts as characters (or bytes); then the
// adjacent pair of lowest rank, leftmost first, is merged until none is in the table. Immutable
// after construction, thread safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace tq {

class BpeModel {
 public:
  struct Options {
    bool byte_level = false;     // words are bytes, tokens are written in GPT-2's alphabet
    bool byte_fallback = false;  // an unknown character becomes its bytes' tokens <0x00>..<0xFF>
    bool fuse_unk = false;       // a run of unknown characters is one unk
    bool ignore_merges = false;  // a word that is a token needs no merging
    int32_t unk_id = -1;         // -1: unknown characters give nothing
  };
  struct Merge {
    int32_t left;
    int32_t right;
    int32_t result;
  };
  // Working memory of one caller.
  struct Scratch {
    struct Symbol {
      int32_t id;
      int32_t previous;  // -1: none
      int32_t next;      // -1: none
    };
    struct Candidate {
      int32_t rank;
      int32_t position;
      int32_t left;
      int32_t right;
      int32_t result;
    };
    std::vector<int32_t> ids;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
    std::string token;
  };

  // Merges in order of rank; of a pair that occurs twice the last counts.
  BpeModel(Vocab vocab, const std::vector<Merge>& merges, const Options& options);

  // Appends the ids of a word: valid UTF-8, or any bytes when byte_level. O(n log n).
  void encode(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const;

  const Vocab& vocab() const { return vocab_; }

 private:
  struct Slot {
    uint64_t pair;
    int32_t rank;
    int32_t result;
  };
  const Slot* find_merge(int32_t left, int32_t right) const;
  int32_t find_char(std::string_view character, char32_t code_point) const;
  void start(std::string_view word, Scratch& scratch) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& ids) const;
  void push_candidate(int32_t position, Scratch& scratch) const;
  void merge(Scratch& scratch) const;

  Vocab vocab_;
  Options options_;
  std::vector<Slot> slots_;                // open addressing
  std::vector<int32_t> bmp_ids_;           // [0x10000] ids of one-character tokens; -1
  std::array<int32_t, 256> fallback_ids_;  // of <0x00>..<0xFF>; -1
  std::array<std::string, 256> alphabet_;  // byte_level: the character of each byte
};

}  // namespace tq
