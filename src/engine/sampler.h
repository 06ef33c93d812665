// Sampler: one next token from a row of logits. Holds one sequence's random state; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tq {

struct SamplingParams {
  float temperature = 0.0f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0f;               // in (0, 1]
  float min_p = 0.0f;               // in [0, 1)
  float repetition_penalty = 1.0f;  // divides positive, multiplies negative logits of seen tokens
  float presence_penalty = 0.0f;    // subtracted once from generated tokens
  float frequency_penalty = 0.0f;   // subtracted per occurrence among generated tokens
  uint64_t seed = 0;
  std::map<int32_t, float> logit_bias;  // added before anything else
  int max_tokens = 256;
  std::vector<std::string> stop;  // texts that end the generation, not part of the output
  std::vector<int32_t> stop_ids;  // ids that end it, likewise
  bool ignore_eos = false;

  // Throws kInvalidArgument naming the parameter and its range.
  void validate() const;
};

}  // namespace tq
