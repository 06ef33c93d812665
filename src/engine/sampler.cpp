#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace tq {
namespace {

void require(bool ok, const char* name, double value, const char* range) {
  if (!ok) fail(ErrorCode::kInvalidArgument, "{} is {}: it must be {}", name, value, range);
}

// Logits looked at side by side: so many maxima, which the compiler keeps in vectors.
constexpr size_t kAtOnce = 16;

// The highest logit of a row, or NaN if one of them is NaN or +infinity.
float highest_of(std::span<const float> logits) {
  float maxima[kAtOnce];
  float sums[kAtOnce] = {};  // of 0 * logit: 0, or NaN
  std::fill_n(maxima, kAtOnce, -std::numeric_limits<float>::infinity());
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

// The highest logit's place, the first of equal ones; throws when the row is not one to choose
// from.
int32_t checked_argmax(std::span<const float> logits) {
  const float highest = highest_of(logits);
  if (!(highest < std::numeric_limits<float>::infinity())) {
    const auto broken = std::find_if(logits.begin(), logits.end(), [](float logit) {
      return !(logit < std::numeric_limits<float>::infinity());
    });
    fail(ErrorCode::kInternal, "the model gave logit {} for token {}: weights or cache are broken",
         *broken, broken - logits.begin());
  }
  if (highest == -std::numeric_limits<float>::infinity()) {
    fail(ErrorCode::kInternal, "all {} logits are -infinity", logits.size());
  }
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), highest) - logits.begin());
}

}  // namespace

void SamplingParams::validate() const {
  require(std::isfinite(temperature) && temperature >= 0, "temperature", temperature, "at least 0");
  require(top_k >= 0, "top_k", top_k, "0 (off) or more");
  require(top_p > 0 && top_p <= 1, "top_p", top_p, "above 0 and at most 1");
  require(min_p >= 0 && min_p < 1, "min_p", min_p, "at least 0 and below 1");
  require(std::isfinite(repetition_penalty) && repetition_penalty > 0, "repetition_penalty",
          repetition_penalty, "above 0");
  require(std::isfinite(presence_penalty), "presence_penalty", presence_penalty, "finite");
  require(std::isfinite(frequency_penalty), "frequency_penalty", frequency_penalty, "finite");
  require(max_tokens >= 1, "max_tokens", max_tokens, "at least 1");
  for (const auto& [id, bias] : logit_bias) {
    require(std::isfinite(bias), "logit_bias", bias, "finite");
  }
  for (const std::string& text : stop) {
    if (text.empty()) fail(ErrorCode::kInvalidArgument, "a stop text is empty");
  }
}

Sampler::Sampler(const SamplingParams& params, int64_t n_tokens)
    : params_(params), n_tokens_(n_tokens), random_(params.seed) {
  params_.validate();
  for (const auto& [id, bias] : params_.logit_bias) {
    if (id < 0 || id >= n_tokens) {
      fail(ErrorCode::kInvalidArgument, "logit_bias names token {}: ids are 0 to {}", id,
           n_tokens - 1);
    }
  }
}

void Sampler::see(std::span<const int32_t> prompt) {
  for (const int32_t id : prompt) seen_.try_emplace(id, 0);
}

int32_t Sampler::sample(std::span<float> logits) {
  logits = logits.first(static_cast<size_t>(n_tokens_));
  apply_bias_and_penalties(logits);
  const int32_t best = checked_argmax(logits);
  const int32_t id =
      params_.temperature == 0 ? best : draw(logits, logits[static_cast<size_t>(best)]);
  ++seen_[id];
  return id;
}

void Sampler::apply_bias_and_penalties(std::span<float> logits) const {
  for (const auto& [id, bias] : params_.logit_bias) logits[static_cast<size_t>(id)] += bias;
  for (const auto& [id, count] : seen_) {
    if (id < 0 || id >= n_tokens_) continue;
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (count > 0) {
      logit -= params_.presence_penalty + params_.frequency_penalty * static_cast<float>(count);
    }
  }
}

double Sampler::weight(float logit, float highest) const {
  return std::exp((static_cast<double>(logit) - highest) / params_.temperature);
}

double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

bool Sampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::order(size_t begin, size_t end) {
  const auto at = [&](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (end < candidates_.size()) std::nth_element(at(begin), at(end), candidates_.end(), better);
  std::sort(at(begin), at(end), better);
}

void Sampler::keep_best(std::span<const float> logits, float lowest, size_t n) {
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
      lowest = std::nextafter(candidates_.front().logit, std::numeric_limits<float>::infinity());
    }
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), better);
}

int32_t Sampler::draw(std::span<const float> logits, float highest) {
  // Tokens below this have, all together, less than 2^-24 of the best one's probability: a float
  // could not tell. Most of a vocabulary is.
  const double span = std::log(static_cast<double>(logits.size())) + 24 * std::log(2.0);
  const auto lowest = static_cast<float>(highest - params_.temperature * span);
  const auto top_k = static_cast<size_t>(params_.top_k);
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
  if (params_.top_p < 1) keep_top_p(highest, n_ordered);
  if (params_.min_p > 0) {  // p / p_max < min_p, as a bound on the logit
    const double least = highest + params_.temperature * std::log(params_.min_p);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
  }
  double mass = 0;
  for (const Candidate& c : candidates_) mass += weight(c.logit, highest);
  double left = uniform() * mass;
  int32_t chosen = candidates_.front().id;
  for (const Candidate& c : candidates_) {
    const double w = weight(c.logit, highest);
    if (w == 0) continue;
    chosen = c.id;  // rounding may leave `left` just above 0 after the last one
    left -= w;
    if (left < 0) break;
  }
  return chosen;
}

void Sampler::keep_top_p(float highest, size_t n_ordered) {
  double left = 0;
  for (const Candidate& c : candidates_) left += weight(c.logit, highest);
  left *= params_.top_p;
  size_t kept = 0;
  while (kept < candidates_.size() && (left > 0 || kept == 0)) {
    if (kept == n_ordered) {  // the best few usually hold the mass: never sort a whole vocabulary
      n_ordered = std::min(candidates_.size(), std::max<size_t>(64, 4 * kept));
      order(kept, n_ordered);
    }
    left -= weight(candidates_[kept++].logit, highest);
  }
  candidates_.resize(kept);
}

}  // namespace tq
