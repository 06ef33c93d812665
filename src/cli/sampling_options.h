// Sampling options shared by run and chat. What is not given comes from the model's own
// generation_config.json.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler.h"

namespace tq {

struct SamplingOptions {
  std::optional<int> max_tokens;
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repeat_penalty;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;  // "ID=VALUE"
  bool ignore_eos = false;

  // defaults with what was given put over it; max_tokens stays as in defaults if not given. Throws
  // kInvalidArgument.
  SamplingParams over(const SamplingParams& defaults) const;
};

void add_sampling_options(CLI::App& command, SamplingOptions& options);

}  // namespace tq
