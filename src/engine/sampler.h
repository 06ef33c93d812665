// Sampler: how one sequence's next tokens are chosen. Holds its random state and the tokens it has
// seen; owned by the sequence; not thread safe. Chooses from logits in host memory, or says what a
// device needs to choose (kernels/ops/sample.h) and is told what it chose.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/sample.h"
#include "kernels/ops/sample.h"

namespace tq {

struct SamplingParams {
  float temperature = 0.0f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0f;               // in (0, 1]
  float min_p = 0.0f;               // in [0, 1]
  float repetition_penalty = 1.0f;  // divides positive, multiplies negative logits of seen tokens
  float presence_penalty = 0.0f;    // subtracted once from generated tokens
  float frequency_penalty = 0.0f;   // subtracted per occurrence among generated tokens
  uint64_t seed = 0;
  std::map<int32_t, float> logit_bias;  // added before anything else
  int max_tokens = 256;
  std::vector<std::string> stop;  // texts that end the generation, not part of the output
  std::vector<int32_t> stop_ids;  // ids that end it, likewise
  bool ignore_eos = false;
  int min_tokens = 0;  // neither end ids nor stop texts end it before so many

  // Throws kInvalidArgument naming the parameter and its range.
  void validate() const;
};

// The order, as in Hugging Face's generate():
//   logit_bias, repetition, presence and frequency penalties; then, if temperature is 0, the
//   highest logit (the lowest id of equal ones); else temperature, top_k, top_p (of the mass that
//   top_k left), min_p (relative to the most probable token), and one draw.
// Probabilities are those of the softmax but for 2^-18 of themselves, and 2^-40 of the best one's.
// The token is drawn among what is left in the order of ids. The same seed, parameters and logits
// give the same tokens on every platform and device.
class Sampler {
 public:
  // Only ids below n_tokens are ever chosen: rows of the head beyond the tokenizer's vocabulary are
  // padding. Throws what validate() throws, and kInvalidArgument for a bias outside n_tokens.
  Sampler(const SamplingParams& params, int64_t n_tokens);

  // Tells of tokens of the prompt: the repetition penalty counts them as seen.
  void see(std::span<const int32_t> prompt);
  // Goes on after tokens that were chosen with the same parameters: they count as generated, and
  // their random numbers have been drawn.
  void resume(std::span<const int32_t> generated);
  // Tokens that are not chosen before min_tokens were generated.
  void hold_back(std::span<const int32_t> ids);
  // Chooses a token and counts it as generated. logits: [at least n_tokens], changed in place;
  // mask: of tokens that may be chosen (kernels/ops/sample.h), or null.
  // Throws kInternal when a logit is NaN or +infinity, or none is finite: a broken model, not a
  // choice.
  int32_t sample(std::span<float> logits, const uint32_t* mask = nullptr);

  // The same by a device, in three steps: how many entries next_row() will append;
  size_t n_list_entries() const;
  // what the next token is chosen by, with one random number drawn, and lists appended to;
  SampleRow next_row(std::vector<TokenValue>& lists);
  // and what was chosen, which is counted as generated and returned. Throws as sample() does.
  int32_t take(int32_t chosen);

 private:
  TokenValue& find_seen(int32_t id);
  bool has_penalties() const;
  const std::vector<TokenValue>& biases() const {
    return n_generated_ < params_.min_tokens ? early_biases_ : biases_;
  }

  SamplingParams params_;
  int64_t n_tokens_;
  std::mt19937_64 random_;
  SampleRow row_;  // what does not change
  std::vector<TokenValue> biases_;
  std::vector<TokenValue> early_biases_;  // while fewer than min_tokens were generated
  int64_t n_generated_ = 0;
  std::vector<TokenValue> seen_;                // and how often generated; 0: only in the prompt
  std::unordered_map<int32_t, size_t> places_;  // of ids in seen_
  RowSampler rows_;
  std::vector<TokenValue> lists_;  // scratch
};

}  // namespace tq
