// What a token is sampled by, as plain data that devices read.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace tq {

// A number that belongs to a token.
struct TokenValue {
  int32_t id;
  float value;
};

// The best token's weight is 2 to this; others are rounded to integers.
constexpr int kSampleWeightBits = 40;

// What a row of logits is sampled by; engine/sampler.h says in which order.
struct SampleRow {
  float scale = 0;    // log2(e) / temperature; 0: the highest logit, the rest is not read
  int32_t top_k = 0;  // 0: all
  float top_p = 1;    // 1: all
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  // Less probable tokens than 2^-this of the best one are never drawn (kernels/sample_math.h); of
  // min_p by most_exponent().
  float most_exponent = 64;
  int32_t mask = -1;    // number of the row's mask; -1: it has none
  uint64_t random = 0;  // all bits of them
  // In the list of TokenValues, no id twice: what is added to logits, then tokens that penalties
  // fall on and how often each was generated. Ids outside the row do no harm.
  int32_t biases_begin = 0;
  int32_t n_biases = 0;
  int32_t seen_begin = 0;
  int32_t n_seen = 0;
};

// A mask has a bit for every token that may be chosen: token t is bit t % 32 of word t / 32. Others
// are as if their logits were -infinity, whatever they are. So many words it has for n tokens.
TQ_HOST_DEVICE constexpr int64_t mask_words(int64_t n) { return (n + 31) / 32; }

// What is chosen of a row in which a logit is NaN or +infinity, and of one in which all are
// -infinity.
constexpr int32_t kBrokenLogits = -1;
constexpr int32_t kNoFiniteLogit = -2;

// out[r] = a token in [0, n) for each row of logits, or one of the above.
struct SampleArgs {
  float* logits;  // [n_rows, n], which may be changed
  int64_t n_rows;
  int64_t stride;  // of the rows of logits in elements
  int64_t n;
  const SampleRow* rows;              // [n_rows]
  const TokenValue* lists;            // of all rows
  int32_t* out;                       // [n_rows]
  const int32_t* excluded = nullptr;  // [n_excluded], each in [0, n): never chosen
  int64_t n_excluded = 0;
  const uint32_t* masks = nullptr;  // [masks, mask_words(n)]
};

}  // namespace tq
