// How a request's tokens are to be chosen, as a user asks for it. What is not asked for comes from
// the model's own generation_config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/sampler.h"

namespace tq {

struct SamplingOptions {
  std::optional<int> max_tokens;  // -1: what the context leaves
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repeat_penalty;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::optional<uint64_t> seed;  // absent: drawn where sampling needs one
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;  // "ID=VALUE"
  bool ignore_eos = false;
  std::optional<int> thinking_budget;  // tokens of reasoning; absent: no limit

  // defaults with what was given put over it; max_tokens stays as in defaults if not given. A seed
  // that was not given is drawn, unless decoding is greedy. Throws kInvalidArgument.
  SamplingParams over(const SamplingParams& defaults) const;
};

// Of 32 bits: short to type again, and exact in every JSON reader.
uint64_t draw_seed();

// {"temperature": ..., "top_k": ..., ..., "seed": ...}; greedy: {"temperature": 0}. What is off is
// left out.
Json sampling_json(const SamplingParams& params);

// "greedy", or "temperature 0.7, top-k 40, seed 3": what is not off.
std::string list_sampling(const SamplingParams& params);
// "sampling: temperature 0.6, top-k 20 (generation_config.json), seed 1234": for stderr. `given`
// and `defaults` are what params came from.
std::string describe_sampling(const SamplingParams& params, const SamplingOptions& given,
                              const SamplingParams& defaults);

}  // namespace tq
