#include "convert/measured_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "base/error.h"
#include "format/row_encoder.h"

namespace tq {
namespace {

constexpr const char* kMeasuredVersionKey = "tq_measured";
constexpr int64_t kMeasuredVersion = 1;

ClassFormats all_classes(std::string_view format) {
  return {format, format, format, format, format, format, format, format};
}

size_t level_of(std::string_view format) {
  return static_cast<size_t>(std::find(kPlanFormats.begin(), kPlanFormats.end(), format) -
                             kPlanFormats.begin());
}

// Starts with few bits everywhere and takes, as long as something fits, the step that saves most.
class Knapsack {
 public:
  Knapsack(const Checkpoint& source, PlanOptions options, const Measurements& measurements,
           const std::function<double(const ConvertPlan&)>& size_of)
      : source_(source),
        options_(std::move(options)),
        measured_(measurements),
        size_of_(size_of),
        levels_(measurements.groups.size()) {
    for (const std::string_view name : kPlanFormats) {
      errors_.push_back(format_error(need_format(name), Effort::kDefault));
    }
    error_ = format_error(need_format(measurements.format), Effort::kFast);
  }

  FormatChoice choose(double limit) {
    FormatChoice choice;
    for (const size_t least : {size_t{1}, size_t{0}}) {
      for (size_t g = 0; g < levels_.size(); ++g) {
        levels_[g] = in_layers(group(g).member) ? least : level_of("tq6");
      }
      choice = {.formats = plan(), .size = size(plan())};
      choice.fits = choice.size <= limit;
      if (choice.fits) break;
    }
    std::vector<bool> open(levels_.size(), choice.fits);
    while (const auto step = best_step(open)) {
      ++levels_[*step];
      const FormatPlan raised = plan();
      const double taken = size(raised);
      if (taken > limit) {
        --levels_[*step];
        open[*step] = false;
        continue;
      }
      choice.formats = raised;
      choice.size = taken;
    }
    return choice;
  }

 private:
  const TensorGroup& group(size_t g) const { return measured_.groups[g].group; }

  std::optional<size_t> best_step(const std::vector<bool>& open) const {
    std::optional<size_t> best;
    double most = -1;
    for (size_t g = 0; g < levels_.size(); ++g) {
      if (!open[g] || levels_[g] + 1 == kPlanFormats.size()) continue;
      const size_t now = levels_[g];
      const double saved = measured_.groups[g].kld / error_ * (errors_[now] - errors_[now + 1]);
      const int bits =
          need_format(kPlanFormats[now + 1]).bits - need_format(kPlanFormats[now]).bits;
      const double rate = saved / (static_cast<double>(group(g).n_weights) * bits);
      if (rate > most) {
        most = rate;
        best = g;
      }
    }
    return best;
  }

  // Classes have what most of their weights have; other layers are exceptions.
  FormatPlan plan() const {
    FormatPlan plan{all_classes("tq8"), {}};
    for (const FormatClass& one : format_classes()) {
      std::map<size_t, int64_t> weights;  // by level
      for (size_t g = 0; g < levels_.size(); ++g) {
        if (group(g).member == one.member) weights[levels_[g]] += group(g).n_weights;
      }
      if (weights.empty()) continue;
      const size_t most = std::max_element(weights.begin(), weights.end(), [](auto& a, auto& b) {
                            return a.second < b.second;
                          })->first;
      plan.classes.*one.member = kPlanFormats[most];
      for (size_t g = 0; g < levels_.size(); ++g) {
        if (group(g).member != one.member || levels_[g] == most) continue;
        plan.layers.push_back(
            {one.member, group(g).first, group(g).last, kPlanFormats[levels_[g]]});
      }
    }
    return plan;
  }

  double size(const FormatPlan& formats) {
    options_.formats = formats;
    return size_of_(make_plan(source_, options_));
  }

  const Checkpoint& source_;
  PlanOptions options_;
  const Measurements& measured_;
  const std::function<double(const ConvertPlan&)>& size_of_;
  std::vector<size_t> levels_;  // of kPlanFormats, parallel to the groups
  std::vector<double> errors_;  // parallel to kPlanFormats
  double error_ = 0;            // of the measured format
};

[[noreturn]] void refuse(const std::string& name, std::string_view what) {
  fail(ErrorCode::kInvalidArgument,
       "{}: {}: it is no file of measurements; tq eval plans writes them", name, what);
}

double read_divergence(const Json& json, const char* field, const std::string& name) {
  const Json value = json.value(field, Json());
  const double number = value.is_number() ? value.get<double>() : -1;
  if (!(number >= 0)) refuse(name, fmt::format("\"{}\" is no divergence", field));
  return number;
}

int64_t read_count(const Json& json, const char* field, int64_t least, const std::string& name) {
  const auto number = json_integer(json.value(field, Json()), least, int64_t{1} << 53);
  if (!number) refuse(name, fmt::format("\"{}\" is no whole number from {}", field, least));
  return *number;
}

MeasuredGroup read_group(const Json& json, const std::string& name) {
  if (!json.is_object()) refuse(name, "a group is no object");
  MeasuredGroup one;
  const Json wanted = json.value("class", Json());
  const FormatClass* found =
      wanted.is_string() ? find_format_class(wanted.get_ref<const std::string&>()) : nullptr;
  if (found == nullptr) refuse(name, "a group has no known class");
  one.group.member = found->member;
  one.group.first = read_count(json, "first", -1, name);
  one.group.last = read_count(json, "last", one.group.first, name);
  one.group.n_weights = read_count(json, "weights", 1, name);
  one.kld = read_divergence(json, "kld", name);
  one.standard_error = read_divergence(json, "kld_se", name);
  return one;
}

}  // namespace

std::string group_name(const TensorGroup& group) {
  const std::string_view name = format_class(group.member).in_text;
  if (group.first < 0) return std::string(name);
  return fmt::format("{} {}-{}", name, group.first, group.last);
}

std::vector<TensorGroup> tensor_groups(const Checkpoint& source, int64_t n_parts) {
  const int64_t n_layers = count_layers(source);
  const int64_t parts = std::clamp<int64_t>(n_parts, 1, std::max<int64_t>(n_layers, 1));
  const auto begin_of = [&](int64_t part) { return part * n_layers / parts; };
  std::vector<TensorGroup> groups;
  for (const FormatClass& one : format_classes()) {
    if (!in_layers(one.member)) {
      groups.push_back({one.member});
      continue;
    }
    for (int64_t part = 0; part < parts; ++part) {
      groups.push_back({one.member, begin_of(part), begin_of(part + 1) - 1});
    }
  }
  const ConvertPlan plan = make_plan(source, {.formats = FormatPlan{all_classes("tq8"), {}}});
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.compressed()) continue;
    const TensorEntry& entry = source.tensors()[static_cast<size_t>(tensor.source)];
    const FormatClass* of = format_class_of(tensor.role);
    const int64_t layer = in_layers(of->member) ? layer_of(entry.name) : -1;
    for (TensorGroup& group : groups) {
      if (group.member == of->member && group.first <= layer && layer <= group.last) {
        group.n_weights += entry.n_elements();
      }
    }
  }
  std::erase_if(groups, [](const TensorGroup& group) { return group.n_weights == 0; });
  return groups;
}

FormatPlan only_group(const TensorGroup& group, std::string_view format) {
  FormatPlan plan{all_classes(kKeep), {}};
  if (in_layers(group.member)) {
    plan.layers.push_back({group.member, group.first, group.last, format});
  } else {
    plan.classes.*group.member = format;
  }
  return plan;
}

double format_error(const FormatTraits& format, Effort effort) {
  constexpr int64_t kRows = 32;
  constexpr int64_t kIn = 1024;
  std::mt19937 draw(1);
  std::vector<float> rows(kRows * kIn);
  for (size_t i = 0; i < rows.size(); i += 2) {  // Box and Muller: the same on every machine
    const double radius = std::sqrt(-2 * std::log((draw() + 1.0) / 4294967297.0));
    const double angle = 6.283185307179586 * draw() / 4294967296.0;
    rows[i] = static_cast<float>(radius * std::cos(angle));
    rows[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  const WeightView shape = weight_shape(format, kRows, kIn);
  RowEncoder encoder("gaussian", shape, {.effort = effort});
  std::vector<uint8_t> codes(static_cast<size_t>(kRows * shape.code_row_bytes()));
  std::vector<float> gains(static_cast<size_t>(kRows * shape.gains_per_row()) + 1);
  return encoder.encode(rows.data(), kRows, codes.data(), gains.data()).rel_mse();
}

const MeasuredGroup* Measurements::find(const TensorGroup& group) const {
  for (const MeasuredGroup& one : groups) {
    if (one.group == group) return &one;
  }
  return nullptr;
}

Json measurements_json(const Measurements& measurements) {
  Json groups = Json::array();
  for (const MeasuredGroup& one : measurements.groups) {
    groups.push_back({{"class", format_class(one.group.member).name},
                      {"first", one.group.first},
                      {"last", one.group.last},
                      {"weights", one.group.n_weights},
                      {"kld", one.kld},
                      {"kld_se", one.standard_error}});
  }
  return {{kMeasuredVersionKey, kMeasuredVersion}, {"format", measurements.format},
          {"tokens", measurements.n_tokens},       {"seed", measurements.seed},
          {"source", measurements.source},         {"groups", std::move(groups)}};
}

Measurements parse_measurements(const Json& json, const std::string& name) {
  if (!json.is_object() || !json_integer(json.value(kMeasuredVersionKey, Json()), 1, 1)) {
    refuse(name, fmt::format("\"{}\" is not {}", kMeasuredVersionKey, kMeasuredVersion));
  }
  Measurements measurements;
  const Json format = json.value("format", Json());
  if (!format.is_string() || find_format(format.get<std::string>()) == nullptr) {
    refuse(name, "\"format\" is no format");
  }
  measurements.format = format.get<std::string>();
  measurements.n_tokens = read_count(json, "tokens", 1, name);
  measurements.seed = static_cast<uint64_t>(read_count(json, "seed", 0, name));
  measurements.source = json.value("source", Json());
  const Json groups = json.value("groups", Json());
  if (!groups.is_array()) refuse(name, "\"groups\" is no list");
  for (const Json& group : groups) measurements.groups.push_back(read_group(group, name));
  return measurements;
}

std::vector<double> predicted_divergence(const Measurements& measurements, const FormatPlan& plan) {
  const double measured = format_error(need_format(measurements.format), Effort::kFast);
  std::map<std::string_view, double> errors = {{kKeep, 0}};
  std::vector<double> divergence;
  for (const MeasuredGroup& one : measurements.groups) {
    const std::string_view name = plan.format(one.group.member, one.group.first);
    if (errors.count(name) == 0) errors[name] = format_error(need_format(name), Effort::kDefault);
    divergence.push_back(one.kld * errors[name] / measured);
  }
  return divergence;
}

FormatChoice choose_by_measurements(const Checkpoint& source, PlanOptions plan,
                                    const Measurements& measurements, double limit,
                                    const std::function<double(const ConvertPlan&)>& size_of) {
  return Knapsack(source, std::move(plan), measurements, size_of).choose(limit);
}

}  // namespace tq
