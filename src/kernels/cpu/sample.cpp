#include "kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sample_math.h"

namespace tq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits looked at side by side: so many maxima, which the compiler keeps in vectors.
constexpr size_t kAtOnce = 16;

// The highest logit of a row, or NaN if one of them is NaN or +infinity.
float highest_of(std::span<const float> logits) {
  float maxima[kAtOnce];
  float sums[kAtOnce] = {};  // of 0 * logit: 0, or NaN
  std::fill_n(maxima, kAtOnce, -kInfinity);
  const auto take = [&](size_t i, size_t lane) {
    const float logit = logits[i];
    maxima[lane] = logit > maxima[lane] ? logit : maxima[lane];
    // -infinity is a logit like others: 0 for it.
    const float finite = logit < -std::numeric_limits<float>::max() ? 0.0f : logit;
    sums[lane] += 0.0f * finite;
  };
  size_t i = 0;
  for (; i + kAtOnce <= logits.size(); i += kAtOnce) {
    for (size_t lane = 0; lane < kAtOnce; ++lane) take(i + lane, lane);
  }
  for (size_t lane = 0; i < logits.size(); ++i, ++lane) take(i, lane);
  float highest = maxima[0];
  float sum = 0;
  for (size_t lane = 0; lane < kAtOnce; ++lane) {
    highest = std::max(highest, maxima[lane]);
    sum += sums[lane];
  }
  return highest + sum;
}

void apply_bias_and_penalties(std::span<float> logits, const SampleRow& row,
                              const TokenValue* lists) {
  const auto n = static_cast<int64_t>(logits.size());
  for (int32_t i = 0; i < row.n_biases; ++i) {
    const TokenValue& bias = lists[row.biases_begin + i];
    if (bias.id >= 0 && bias.id < n) logits[static_cast<size_t>(bias.id)] += bias.value;
  }
  for (int32_t i = 0; i < row.n_seen; ++i) {
    const TokenValue& seen = lists[row.seen_begin + i];
    if (seen.id < 0 || seen.id >= n) continue;
    float& logit = logits[static_cast<size_t>(seen.id)];
    logit = penalised(logit, seen.value, row);
  }
}

// Logits of tokens whose bits are not set become -infinity.
void apply_mask(std::span<float> logits, const uint32_t* mask) {
  for (size_t begin = 0; begin < logits.size(); begin += 32) {
    const uint32_t bits = mask[begin / 32];
    if (bits == ~uint32_t{0}) continue;
    const size_t n = std::min<size_t>(32, logits.size() - begin);
    for (size_t i = 0; i < n; ++i) {
      if ((bits >> i & 1) == 0) logits[begin + i] = -kInfinity;
    }
  }
}

}  // namespace

float most_exponent(float min_p) {
  const double least = std::ldexp(double{min_p}, kSampleWeightBits);
  float kept = 0;
  float dropped = kNoWeight;
  if (least <= 1) return dropped;
  while (true) {
    const float middle = kept + (dropped - kept) / 2;
    if (middle <= kept || middle >= dropped) return kept;
    (static_cast<double>(sample_weight(middle)) >= least ? kept : dropped) = middle;
  }
}

int32_t RowSampler::sample(std::span<float> logits, const SampleRow& row, const TokenValue* lists,
                           const uint32_t* masks) {
  if (row.mask >= 0) {
    apply_mask(logits, masks + row.mask * mask_words(static_cast<int64_t>(logits.size())));
  }
  apply_bias_and_penalties(logits, row, lists);
  const float highest = highest_of(logits);
  if (!(highest < kInfinity)) return kBrokenLogits;
  if (highest == -kInfinity) return kNoFiniteLogit;
  if (row.scale == 0) {
    return static_cast<int32_t>(std::find(logits.begin(), logits.end(), highest) - logits.begin());
  }
  return draw(logits, highest, row);
}

bool RowSampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void RowSampler::order(size_t begin, size_t end) {
  const auto at = [&](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (end < candidates_.size()) std::nth_element(at(begin), at(end), candidates_.end(), better);
  std::sort(at(begin), at(end), better);
}

void RowSampler::keep_best(std::span<const float> logits, float lowest, size_t n) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < lowest) continue;
    const Candidate candidate{logits[i], static_cast<int32_t>(i)};
    if (candidates_.size() == n) {  // a heap, the worst of them in front
      std::pop_heap(candidates_.begin(), candidates_.end(), better);
      candidates_.back() = candidate;
    } else {
      candidates_.push_back(candidate);
    }
    std::push_heap(candidates_.begin(), candidates_.end(), better);
    if (candidates_.size() == n) {  // an equal logit further on is worse
      lowest = std::nextafter(candidates_.front().logit, kInfinity);
    }
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), better);
}

int32_t RowSampler::draw(std::span<const float> logits, float highest, const SampleRow& row) {
  // Of the tokens below this, which are most of a vocabulary, none has a weight, or enough of one
  // for min_p. (One power of two more than that, so that no rounding matters.)
  const float most = row.top_p < 1 ? kNoWeight : std::min(kNoWeight, row.most_exponent);
  const double bound = highest - (double{most} + 1) / double{row.scale};
  const auto lowest =
      static_cast<float>(std::max(bound, double{std::numeric_limits<float>::lowest()}));
  const auto top_k = static_cast<size_t>(row.top_k);
  size_t n_ordered = 0;
  if (top_k > 0 && top_k < logits.size()) {
    keep_best(logits, lowest, top_k);
    n_ordered = candidates_.size();
  } else {
    candidates_.clear();
    for (size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] >= lowest) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    }
  }
  if (row.top_p < 1) keep_top_p(highest, row, n_ordered);
  if (n_ordered > 0 || row.top_p < 1) order_by_id(logits);
  weights_.resize(candidates_.size());
  uint64_t mass = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const float exponent = sample_exponent(highest - candidates_[i].logit, row.scale);
    weights_[i] = exponent <= row.most_exponent ? sample_weight(exponent) : 0;
    mass += weights_[i];
  }
  uint64_t left = upper_product(row.random, mass);
  size_t chosen = 0;
  while (left >= weights_[chosen]) left -= weights_[chosen++];
  return candidates_[chosen].id;
}

void RowSampler::order_by_id(std::span<const float> logits) {
  if (candidates_.size() < logits.size() / 16) {
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    return;
  }
  const Candidate last = candidates_.back();  // faster than sorting so many
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const Candidate candidate{logits[i], static_cast<int32_t>(i)};
    if (!better(last, candidate)) candidates_.push_back(candidate);
  }
}

void RowSampler::keep_top_p(float highest, const SampleRow& row, size_t n_ordered) {
  const auto weight = [&](const Candidate& c) {
    return sample_weight(sample_exponent(highest - c.logit, row.scale));
  };
  uint64_t mass = 0;
  for (const Candidate& c : candidates_) mass += weight(c);
  const uint64_t wanted = top_p_mass(mass, row.top_p);
  uint64_t kept_mass = 0;
  size_t kept = 0;
  while (kept_mass < wanted) {
    if (kept == n_ordered) {  // the best few usually hold the mass: never sort a whole vocabulary
      n_ordered = std::min(candidates_.size(), std::max<size_t>(64, 4 * kept));
      order(kept, n_ordered);
    }
    kept_mass += weight(candidates_[kept++]);
  }
  candidates_.resize(kept);
}

}  // namespace tq
