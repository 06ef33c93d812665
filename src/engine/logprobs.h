// Log probabilities of tokens, for callers that ask for them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tq {

struct TokenLogprob {
  int32_t id;
  float logprob;  // natural logarithm; -infinity for what cannot be chosen
};

// The chosen token, then the n most probable ones, best first (the lower id of equal ones), of the
// softmax over the logits as they are: without temperature, penalties and biases.
std::vector<TokenLogprob> token_logprobs(std::span<const float> logits, int32_t chosen, int n);

}  // namespace tq
