#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

#include "base/error.h"

namespace tq {
namespace {

void require(bool ok, const char* name, double value, const char* range) {
  if (!ok) fail(ErrorCode::kInvalidArgument, "{} is {}: it must be {}", name, value, range);
}

constexpr std::string_view kBroken = "weights or cache are broken";

}  // namespace

void SamplingParams::validate() const {
  require(std::isfinite(temperature) && temperature >= 0, "temperature", temperature, "at least 0");
  require(top_k >= 0, "top_k", top_k, "0 (off) or more");
  require(top_p > 0 && top_p <= 1, "top_p", top_p, "above 0 and at most 1");
  require(min_p >= 0 && min_p <= 1, "min_p", min_p, "from 0 to 1");
  require(std::isfinite(repetition_penalty) && repetition_penalty > 0, "repetition_penalty",
          repetition_penalty, "above 0");
  require(std::isfinite(presence_penalty), "presence_penalty", presence_penalty, "finite");
  require(std::isfinite(frequency_penalty), "frequency_penalty", frequency_penalty, "finite");
  require(max_tokens >= 1, "max_tokens", max_tokens, "at least 1");
  require(min_tokens >= 0 && min_tokens <= max_tokens, "min_tokens", min_tokens,
          "from 0 to max_tokens");
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
    biases_.push_back({id, bias});
  }
  early_biases_ = biases_;
  row_.repetition_penalty = params_.repetition_penalty;
  row_.presence_penalty = params_.presence_penalty;
  row_.frequency_penalty = params_.frequency_penalty;
  if (params_.temperature == 0) return;
  // A temperature next to 0 must not make it infinite, nor one next to infinity 0.
  row_.scale = static_cast<float>(std::clamp(std::numbers::log2e / params_.temperature,
                                             double{std::numeric_limits<float>::min()},
                                             double{std::numeric_limits<float>::max()}));
  row_.top_k = params_.top_k;
  row_.top_p = params_.top_p;
  row_.most_exponent = most_exponent(params_.min_p);
}

void Sampler::see(std::span<const int32_t> ids) {
  for (const int32_t id : ids) find_seen(id);
}

void Sampler::hold_back(std::span<const int32_t> ids) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (const int32_t id : ids) {
    if (id < 0 || id >= n_tokens_) continue;
    const auto found = std::find_if(early_biases_.begin(), early_biases_.end(),
                                    [id](const TokenValue& bias) { return bias.id == id; });
    if (found != early_biases_.end()) {
      found->value = kNever;
    } else {
      early_biases_.push_back({id, kNever});
    }
  }
}

void Sampler::resume(std::span<const int32_t> generated) {
  n_generated_ += static_cast<int64_t>(generated.size());
  for (const int32_t id : generated) ++find_seen(id).value;
  if (row_.scale > 0) random_.discard(generated.size());
}

TokenValue& Sampler::find_seen(int32_t id) {
  const auto [place, is_new] = places_.try_emplace(id, seen_.size());
  if (is_new) seen_.push_back({id, 0});
  return seen_[place->second];
}

bool Sampler::has_penalties() const {
  return params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
         params_.frequency_penalty != 0;
}

size_t Sampler::n_list_entries() const {
  return biases().size() + (has_penalties() ? seen_.size() : 0);
}

SampleRow Sampler::next_row(std::vector<TokenValue>& lists) {
  SampleRow row = row_;
  row.biases_begin = static_cast<int32_t>(lists.size());
  row.n_biases = static_cast<int32_t>(biases().size());
  lists.insert(lists.end(), biases().begin(), biases().end());
  if (has_penalties()) {
    row.seen_begin = static_cast<int32_t>(lists.size());
    row.n_seen = static_cast<int32_t>(seen_.size());
    lists.insert(lists.end(), seen_.begin(), seen_.end());
  }
  if (row.scale > 0) row.random = random_();
  return row;
}

int32_t Sampler::take(int32_t chosen) {
  if (chosen == kBrokenLogits) {
    fail(ErrorCode::kInternal, "the model gave a logit that is NaN or infinite: {}", kBroken);
  }
  if (chosen == kNoFiniteLogit) fail(ErrorCode::kInternal, "all logits are -infinity");
  ++find_seen(chosen).value;
  ++n_generated_;
  return chosen;
}

int32_t Sampler::sample(std::span<float> logits, const uint32_t* mask) {
  logits = logits.first(static_cast<size_t>(n_tokens_));
  lists_.clear();
  SampleRow row = next_row(lists_);
  if (mask != nullptr) row.mask = 0;
  const int32_t chosen = rows_.sample(logits, row, lists_.data(), mask);
  if (chosen == kBrokenLogits) {  // say which
    const auto broken = std::find_if(logits.begin(), logits.end(), [](float logit) {
      return !(logit < std::numeric_limits<float>::infinity());
    });
    fail(ErrorCode::kInternal, "the model gave logit {} for token {}: {}", *broken,
         broken - logits.begin(), kBroken);
  }
  return take(chosen);
}

}  // namespace tq
