#include "cli/sampling_options.h"

#include <charconv>

#include "base/error.h"

namespace tq {
namespace {

// "123=-4.5" into params.logit_bias.
void add_bias(const std::string& text, SamplingParams& params) {
  int32_t id = 0;
  float bias = 0;
  const char* const end = text.data() + text.size();
  const auto [after_id, id_error] = std::from_chars(text.data(), end, id);
  bool ok = id_error == std::errc() && after_id != end && *after_id == '=';
  if (ok) {
    const auto [after_bias, bias_error] = std::from_chars(after_id + 1, end, bias);
    ok = bias_error == std::errc() && after_bias == end;
  }
  if (!ok) {
    fail(ErrorCode::kInvalidArgument, "--logit-bias {}: write it as ID=VALUE, e.g. 2=-5", text);
  }
  params.logit_bias[id] = bias;
}

}  // namespace

SamplingParams SamplingOptions::over(const SamplingParams& defaults) const {
  SamplingParams params = defaults;
  params.max_tokens = max_tokens.value_or(defaults.max_tokens);
  params.temperature = temperature.value_or(defaults.temperature);
  params.top_k = top_k.value_or(defaults.top_k);
  params.top_p = top_p.value_or(defaults.top_p);
  params.min_p = min_p.value_or(defaults.min_p);
  params.repetition_penalty = repeat_penalty.value_or(defaults.repetition_penalty);
  params.presence_penalty = presence_penalty;
  params.frequency_penalty = frequency_penalty;
  params.seed = seed;
  params.stop = stop;
  for (const std::string& bias : logit_bias) add_bias(bias, params);
  params.ignore_eos = ignore_eos;
  params.validate();
  return params;
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  constexpr const char* kGroup =
      "Sampling (defaults: the model's generation_config.json, or greedy)";
  command
      .add_option("-n,--max-tokens", options.max_tokens,
                  "Tokens to generate at most; default: 512, or what the context leaves if that is "
                  "less")
      ->group(kGroup);
  command.add_option("--temp", options.temperature, "Temperature; 0 is greedy")->group(kGroup);
  command.add_option("--top-k", options.top_k, "Keep the k best tokens; 0 is off")->group(kGroup);
  command.add_option("--top-p", options.top_p, "Keep the best tokens of this probability mass")
      ->group(kGroup);
  command
      .add_option("--min-p", options.min_p,
                  "Drop tokens below this fraction of the best one's probability")
      ->group(kGroup);
  command
      .add_option("--repeat-penalty", options.repeat_penalty,
                  "Divide logits of tokens already seen by this; 1 is off")
      ->group(kGroup);
  command
      .add_option("--presence-penalty", options.presence_penalty,
                  "Subtract from logits of generated tokens")
      ->group(kGroup);
  command
      .add_option("--frequency-penalty", options.frequency_penalty,
                  "Subtract for every time a token was generated")
      ->group(kGroup);
  command.add_option("--seed", options.seed, "The same seed gives the same text")->group(kGroup);
  command.add_option("--stop", options.stop, "Text that ends the output; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_option("--logit-bias", options.logit_bias, "ID=VALUE added to a logit; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command.add_flag("--ignore-eos", options.ignore_eos, "Do not stop at end-of-sequence tokens")
      ->group(kGroup);
}

}  // namespace tq
