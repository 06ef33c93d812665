#include "cli/sampling_options.h"

#include <fmt/format.h>

#include <charconv>
#include <random>

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

// 32 bits: short to type again, and exact in every JSON reader.
uint64_t draw_seed() { return std::random_device()(); }

// A number, or -1 for one that is drawn now.
CLI::Validator seed_value() {
  const auto read = [](std::string& text) -> std::string {
    if (text == "-1") text = std::to_string(draw_seed());
    uint64_t seed = 0;
    const char* end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, seed);
    if (error == std::errc() && after == end) return "";
    return "a seed is a number from 0 to 18446744073709551615, or -1 to draw one, not " + text;
  };
  return {read, "NUMBER or -1", "seed"};
}

}  // namespace

SamplingParams SamplingOptions::over(const SamplingParams& defaults) const {
  SamplingParams params = defaults;
  if (max_tokens && *max_tokens != -1) params.max_tokens = *max_tokens;
  params.temperature = temperature.value_or(defaults.temperature);
  params.top_k = top_k.value_or(defaults.top_k);
  params.top_p = top_p.value_or(defaults.top_p);
  params.min_p = min_p.value_or(defaults.min_p);
  params.repetition_penalty = repeat_penalty.value_or(defaults.repetition_penalty);
  params.presence_penalty = presence_penalty;
  params.frequency_penalty = frequency_penalty;
  params.seed = seed ? *seed : params.temperature > 0 ? draw_seed() : 0;
  params.stop = stop;
  for (const std::string& bias : logit_bias) add_bias(bias, params);
  params.ignore_eos = ignore_eos;
  params.validate();
  return params;
}

namespace {

// 0.6 for 0.6f, not 0.6000000238418579.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

}  // namespace

Json sampling_json(const SamplingParams& params) {
  Json json = {{"temperature", shortest(params.temperature)}};
  if (params.temperature > 0) {
    if (params.top_k > 0) json["top_k"] = params.top_k;
    if (params.top_p < 1) json["top_p"] = shortest(params.top_p);
    if (params.min_p > 0) json["min_p"] = shortest(params.min_p);
    json["seed"] = params.seed;
  }
  if (params.repetition_penalty != 1)
    json["repetition_penalty"] = shortest(params.repetition_penalty);
  if (params.presence_penalty != 0) json["presence_penalty"] = shortest(params.presence_penalty);
  if (params.frequency_penalty != 0) json["frequency_penalty"] = shortest(params.frequency_penalty);
  return json;
}

std::string describe_sampling(const SamplingParams& params, const SamplingOptions& given,
                              const SamplingParams& defaults) {
  std::string chosen;
  std::string from_model;
  const auto add = [&](bool is_on, bool was_given, const std::string& text) {
    std::string& list = was_given ? chosen : from_model;
    if (is_on) list += (list.empty() ? "" : ", ") + text;
  };
  const bool samples = params.temperature > 0;
  add(samples, given.temperature.has_value() || defaults.temperature == 0,
      fmt::format("temperature {:g}", params.temperature));
  add(samples && params.top_k > 0, given.top_k.has_value(), fmt::format("top-k {}", params.top_k));
  add(samples && params.top_p < 1, given.top_p.has_value(),
      fmt::format("top-p {:g}", params.top_p));
  add(samples && params.min_p > 0, given.min_p.has_value(),
      fmt::format("min-p {:g}", params.min_p));
  add(params.repetition_penalty != 1, given.repeat_penalty.has_value(),
      fmt::format("repeat-penalty {:g}", params.repetition_penalty));
  add(params.presence_penalty != 0, true,
      fmt::format("presence-penalty {:g}", params.presence_penalty));
  add(params.frequency_penalty != 0, true,
      fmt::format("frequency-penalty {:g}", params.frequency_penalty));
  if (!from_model.empty()) from_model += " (generation_config.json)";
  add(samples, true, fmt::format("seed {}", params.seed));
  const std::string list = from_model + (from_model.empty() || chosen.empty() ? "" : ", ") + chosen;
  return (samples ? "sampling: " : list.empty() ? "sampling: greedy" : "sampling: greedy, ") + list;
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  constexpr const char* kGroup =
      "Sampling (defaults: the model's generation_config.json, or greedy)";
  command
      .add_option(
          "-n,--max-tokens", options.max_tokens,
          "Tokens to generate at most; -1: what the context leaves, in run without it 512 at most")
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
  command
      .add_option("--seed", options.seed,
                  "The same seed gives the same text; -1, or none given: one is drawn and printed")
      ->transform(seed_value())
      ->group(kGroup);
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
