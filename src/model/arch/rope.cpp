#include "model/arch/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/error.h"

namespace tq {
namespace {

// Llama 3.1: wavelengths beyond the original context are stretched by `factor`, short ones kept,
// those between blended (transformers, _compute_llama3_parameters).
void scale_llama3(RopeSpec& rope, ConfigReader& params) {
  const double factor = params.need_positive("factor");
  const double low = params.need_positive("low_freq_factor");
  const double high = params.need_positive("high_freq_factor");
  const double context = params.need_positive("original_max_position_embeddings");
  if (high <= low) {
    fail(ErrorCode::kCorrupt, "{}: low_freq_factor must be below high_freq_factor", params.where());
  }
  for (float& frequency : rope.inv_freq) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < context / high) continue;
    double blend = 0;
    if (wavelength <= context / low) blend = (context / wavelength - low) / (high - low);
    frequency = static_cast<float>((1 - blend) * frequency / factor + blend * frequency);
  }
}

void scale_linear(RopeSpec& rope, double factor) {
  for (float& frequency : rope.inv_freq) frequency /= static_cast<float>(factor);
}

// Gemma 4: the exponents are those of all dims, but only a part of the pairs turns (transformers,
// _compute_proportional_rope_parameters).
void scale_proportional(RopeSpec& rope, ConfigReader& params) {
  const double part = params.positive_or("partial_rotary_factor", 1);
  if (part > 1) {
    fail(ErrorCode::kCorrupt, "{}: partial_rotary_factor is {}, above 1", params.where(), part);
  }
  const double n_turning = std::floor(part * static_cast<double>(rope.inv_freq.size()));
  std::fill(rope.inv_freq.begin() + static_cast<int64_t>(n_turning), rope.inv_freq.end(), 0.0f);
  scale_linear(rope, params.positive_or("factor", 1));
}

// YaRN's m: by how much attention sharpens when positions are interpolated.
double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

// cos and sin are multiplied by it, so scores by its square.
float yarn_scale(double factor, ConfigReader& params) {
  const bool by_mscale = params.has("mscale") && params.has("mscale_all_dim");
  const double mscale = params.positive_or("mscale", 1);
  const double all_dim = params.positive_or("mscale_all_dim", 1);
  double scale = yarn_magnitude(factor, 1);
  if (by_mscale) scale = yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim);
  return static_cast<float>(params.positive_or("attention_factor", scale));
}

// YaRN: pairs that turn more than beta_fast times within the original context keep their frequency,
// those that turn less than beta_slow times are interpolated, those between blended (transformers,
// _compute_yarn_parameters).
void scale_yarn(RopeSpec& rope, double theta, ConfigReader& params) {
  const double factor = params.need_positive("factor");
  const double context = params.need_positive("original_max_position_embeddings");
  const double fast = params.positive_or("beta_fast", 32);
  const double slow = params.positive_or("beta_slow", 1);
  if (fast < slow) {
    fail(ErrorCode::kCorrupt, "{}: beta_fast ({}) is below beta_slow ({})", params.where(), fast,
         slow);
  }
  if (theta <= 1) {
    fail(ErrorCode::kCorrupt, "{}: rope_theta is {}, yarn needs one above 1", params.where(),
         theta);
  }
  const auto dims = static_cast<double>(2 * rope.inv_freq.size());
  const auto pair_of_turns = [&](double turns) {
    return dims * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = pair_of_turns(fast);
  double high = pair_of_turns(slow);
  if (params.bool_or("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  const auto width = static_cast<float>(high - low);
  for (size_t j = 0; j < rope.inv_freq.size(); ++j) {
    const float ramp = (static_cast<float>(j) - static_cast<float>(low)) / width;
    const float keep = 1 - std::clamp(ramp, 0.0f, 1.0f);
    const float own = rope.inv_freq[j];
    rope.inv_freq[j] = own / static_cast<float>(factor) * (1 - keep) + own * keep;
  }
  rope.scale = yarn_scale(factor, params);
}

void scale(RopeSpec& rope, double theta, ConfigReader& params) {
  const std::string type = params.string_or("rope_type", params.string_or("type", "default"));
  if (type == "proportional") return scale_proportional(rope, params);
  params.expect("partial_rotary_factor", 1.0);
  if (type == "linear") {
    scale_linear(rope, params.need_positive("factor"));
  } else if (type == "llama3") {
    scale_llama3(rope, params);
  } else if (type == "yarn") {
    scale_yarn(rope, theta, params);
  } else if (type != "default") {
    fail(ErrorCode::kUnsupported,
         "{}: rope type \"{}\" is not supported (default, linear, llama3, yarn, proportional)",
         params.where(), type);
  }
}

RopeSpec unscaled_rope(int64_t dims, double theta) {
  RopeSpec rope;
  for (int64_t j = 0; j < dims / 2; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(dims);
    rope.inv_freq.push_back(1.0f / std::pow(static_cast<float>(theta), exponent));
  }
  return rope;
}

}  // namespace

RopeSpec make_rope(int64_t dims, double theta, ConfigReader params) {
  const double own_theta = params.positive_or("rope_theta", theta);
  RopeSpec rope = unscaled_rope(dims, own_theta);
  scale(rope, own_theta, params);
  params.finish();
  return rope;
}

RopeSpec make_longrope(int64_t dims, double theta, int64_t max_position, ConfigReader params) {
  const double own_theta = params.positive_or("rope_theta", theta);
  const int64_t context = params.need_size("original_max_position_embeddings");
  const auto ratio = static_cast<double>(max_position) / static_cast<double>(context);
  const double factor = params.positive_or("factor", ratio);
  const double log_context = std::log(std::max<double>(2, static_cast<double>(context)));
  const double scale = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / log_context);
  const auto divided = [&](const char* key) {
    RopeSpec rope = unscaled_rope(dims, own_theta);
    const std::vector<double> divisors = params.positives(key);
    if (divisors.size() != rope.inv_freq.size()) {
      fail(ErrorCode::kCorrupt, "{}: {} has {} numbers for {} rotated pairs", params.where(), key,
           divisors.size(), rope.inv_freq.size());
    }
    for (size_t j = 0; j < divisors.size(); ++j) {
      rope.inv_freq[j] /= static_cast<float>(divisors[j]);
    }
    return rope.inv_freq;
  };
  RopeSpec rope{.inv_freq = divided("short_factor"), .long_inv_freq = divided("long_factor")};
  rope.short_positions = context;
  rope.scale = static_cast<float>(params.positive_or("attention_factor", scale));
  params.ignore({"rope_type", "type"});
  params.finish();
  return rope;
}

RopeSpec make_rope(int64_t dims, double theta, ConfigReader& from, std::string_view key) {
  return from.has(key) ? make_rope(dims, theta, from.object(key)) : unscaled_rope(dims, theta);
}

std::string_view rope_key(const ConfigReader& config) {
  if (!config.has("rope_parameters")) return "rope_scaling";
  if (config.has("rope_scaling")) {
    fail(ErrorCode::kUnsupported, "{}: both rope_scaling and rope_parameters are set; keep one",
         config.where());
  }
  return "rope_parameters";
}

RopeSpec read_rope(ConfigReader& config, int64_t dims, double default_theta) {
  const double theta = config.positive_or("rope_theta", default_theta);
  return make_rope(dims, theta, config, rope_key(config));
}

}  // namespace tq
