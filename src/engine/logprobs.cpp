#include "engine/logprobs.h"

#include <algorithm>
#include <numeric>

#include "engine/evaluate.h"

namespace tq {

std::vector<TokenLogprob> token_logprobs(std::span<const float> logits, int32_t chosen, int n) {
  const double log_sum = log_sum_exp(logits);
  const auto entry = [&](int32_t id) {
    return TokenLogprob{id, static_cast<float>(logits[static_cast<size_t>(id)] - log_sum)};
  };
  std::vector<TokenLogprob> found{entry(chosen)};
  if (n == 0) return found;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto n_top = std::min(static_cast<ptrdiff_t>(n), static_cast<ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + n_top, order.end(), [&](int32_t a, int32_t b) {
    const float left = logits[static_cast<size_t>(a)];
    const float right = logits[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  });
  for (ptrdiff_t i = 0; i < n_top; ++i) found.push_back(entry(order[static_cast<size_t>(i)]));
  return found;
}

}  // namespace tq
