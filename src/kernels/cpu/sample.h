// RowSampler: one token from a row of logits. It says what kernels/cuda/sample/sample.cu must give,
// to the bit. Holds only scratch; used by one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops/sample.h"

namespace tq {

// SampleRow::most_exponent for min_p: the largest exponent whose weight is at least that part of
// the best token's.
float most_exponent(float min_p);

class RowSampler {
 public:
  // The chosen index, kBrokenLogits or kNoFiniteLogit. logits are changed in place by biases,
  // penalties and the mask; lists: what the row's ranges index; masks: SampleArgs::masks.
  int32_t sample(std::span<float> logits, const SampleRow& row, const TokenValue* lists,
                 const uint32_t* masks = nullptr);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };

  int32_t draw(std::span<const float> logits, float highest, const SampleRow& row);
  // The order of candidates: true when a comes before b.
  static bool better(const Candidate& a, const Candidate& b);
  // The candidates: the best n of those that are not below `lowest`, best first.
  void keep_best(std::span<const float> logits, float lowest, size_t n);
  // Makes candidates [begin, end) the best of [begin, all), best first.
  void order(size_t begin, size_t end);
  // Cuts the candidates, of which the first n_ordered are in order, down to the top_p mass.
  void keep_top_p(float highest, const SampleRow& row, size_t n_ordered);

  // The candidates, until now the best of the logits, best first, in the order in which one of them
  // is drawn.
  void order_by_id(std::span<const float> logits);

  std::vector<Candidate> candidates_;  // scratch
  std::vector<uint64_t> weights_;      // likewise, of the candidates
};

}  // namespace tq
