#include "session/sampling.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

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

// 0.6 for 0.6f, not 0.6000000238418579.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

// A parameter that is not off.
struct Part {
  std::string text;    // "top-k 20"
  bool given = false;  // or from the model's defaults
};

std::vector<Part> parts_of(const SamplingParams& params, const SamplingOptions& given,
                           const SamplingParams& defaults) {
  std::vector<Part> parts;
  const auto add = [&](std::string_view name, auto value, auto off, bool was_given) {
    if (value != off) parts.push_back({fmt::format("{} {}", name, value), was_given});
  };
  if (params.temperature > 0) {
    add("temperature", params.temperature, 0.0f,
        given.temperature.has_value() || defaults.temperature == 0);
    add("top-k", params.top_k, 0, given.top_k.has_value());
    add("top-p", params.top_p, 1.0f, given.top_p.has_value());
    add("min-p", params.min_p, 0.0f, given.min_p.has_value());
  }
  add("repeat-penalty", params.repetition_penalty, 1.0f, given.repeat_penalty.has_value());
  add("presence-penalty", params.presence_penalty, 0.0f, true);
  add("frequency-penalty", params.frequency_penalty, 0.0f, true);
  if (params.temperature > 0) parts.push_back({fmt::format("seed {}", params.seed), true});
  return parts;
}

std::string join(const std::vector<Part>& parts, bool given) {
  std::string list;
  for (const Part& part : parts) {
    if (part.given == given) list += (list.empty() ? "" : ", ") + part.text;
  }
  return list;
}

}  // namespace

uint64_t draw_seed() { return std::random_device()(); }

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

Json sampling_json(const SamplingParams& params) {
  Json json = {{"temperature", shortest(params.temperature)}};
  if (params.temperature > 0) {
    if (params.top_k > 0) json["top_k"] = params.top_k;
    if (params.top_p < 1) json["top_p"] = shortest(params.top_p);
    if (params.min_p > 0) json["min_p"] = shortest(params.min_p);
    json["seed"] = params.seed;
  }
  if (params.repetition_penalty != 1) {
    json["repetition_penalty"] = shortest(params.repetition_penalty);
  }
  if (params.presence_penalty != 0) json["presence_penalty"] = shortest(params.presence_penalty);
  if (params.frequency_penalty != 0) json["frequency_penalty"] = shortest(params.frequency_penalty);
  return json;
}

std::string list_sampling(const SamplingParams& params) {
  std::string list = params.temperature > 0 ? "" : "greedy";
  for (const Part& part : parts_of(params, {}, params)) {
    list += (list.empty() ? "" : ", ") + part.text;
  }
  return list;
}

std::string describe_sampling(const SamplingParams& params, const SamplingOptions& given,
                              const SamplingParams& defaults) {
  const std::vector<Part> parts = parts_of(params, given, defaults);
  std::string list = params.temperature > 0 ? "" : "greedy";
  const auto add = [&list](const std::string& text) {
    if (!text.empty()) list += (list.empty() ? "" : ", ") + text;
  };
  const std::string from_model = join(parts, false);
  add(from_model.empty() ? "" : from_model + " (generation_config.json)");
  add(join(parts, true));
  return "sampling: " + list;
}

}  // namespace tq
