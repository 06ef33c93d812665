#include "convert/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tq {
namespace {

constexpr size_t kSixBits = 4;  // of kPlanFormats
constexpr size_t kEightBits = 5;
static_assert(kPlanFormats[kSixBits] == "tq6" && kPlanFormats[kEightBits] == "tq8");

class Chooser {
 public:
  Chooser(const Checkpoint& source, PlanOptions options, double limit,
          const std::function<double(const ConvertPlan&)>& size_of)
      : source_(source),
        options_(std::move(options)),
        limit_(limit),
        size_of_(size_of),
        few_keys_values_(count_linears(source).few_keys_values()) {}

  FormatChoice choose() {
    choice_.formats = base(0);
    choice_.size = size(choice_.formats);
    choice_.fits = choice_.size <= limit_;
    if (!choice_.fits) return std::move(choice_);
    const size_t level = choose_base();
    const bool experts = has_experts();
    if (!experts) choice_.formats.classes.experts = choice_.formats.classes.mlp;
    const size_t more = std::min(level + 1, kEightBits);
    raise(&ClassFormats::output, more);
    if (!few_keys_values_) raise(&ClassFormats::keys_values, more);
    raise(&ClassFormats::attention, more);
    if (experts) raise(&ClassFormats::mlp, more);
    raise_layers(experts ? &ClassFormats::experts : &ClassFormats::mlp, more);
    for (const FormatMember member :
         {&ClassFormats::keys_values, &ClassFormats::head, &ClassFormats::embed}) {
      raise(member, kEightBits);
    }
    return std::move(choice_);
  }

 private:
  FormatPlan base(size_t level) const {
    const std::string_view most = kPlanFormats[level];
    const std::string_view table = kPlanFormats[std::max(level, kSixBits)];
    return {{table, table, few_keys_values_ ? table : most, most, most, most, most, table}, {}};
  }

  ConvertPlan plan(const FormatPlan& formats) {
    options_.formats = formats;
    return make_plan(source_, options_);
  }
  double size(const FormatPlan& formats) { return size_of_(plan(formats)); }

  // The largest that fits for all.
  size_t choose_base() {
    size_t level = 0;
    while (level < kEightBits) {
      choice_.next = kPlanFormats[level + 1];
      choice_.next_size = size(base(level + 1));
      if (choice_.next_size > limit_) break;
      choice_.formats = base(++level);
      choice_.size = std::exchange(choice_.next_size, 0);
      choice_.next.clear();
    }
    return level;
  }

  bool has_experts() {
    const ConvertPlan made = plan(choice_.formats);
    return std::any_of(made.tensors.begin(), made.tensors.end(), [](const PlannedTensor& one) {
      return one.role == TensorRole::kExperts && one.compressed();
    });
  }

  // Takes it if it fits and changes something.
  bool take(const FormatPlan& formats) {
    const double taken = size(formats);
    if (taken > limit_ || taken == choice_.size) return false;
    choice_.formats = formats;
    choice_.size = taken;
    return true;
  }

  void raise(FormatMember member, size_t level) {
    const std::string_view now = choice_.formats.classes.*member;
    if (need_format(now).bits >= need_format(kPlanFormats[level]).bits) return;
    FormatPlan raised = choice_.formats;
    raised.classes.*member = kPlanFormats[level];
    take(raised);
  }

  void raise_layers(FormatMember member, size_t level) {
    if (choice_.formats.classes.*member == kPlanFormats[level]) return;
    const FormatPlan before = choice_.formats;
    const int64_t n_layers = count_layers(source_);
    int64_t fits = 0;
    int64_t too_many = n_layers;  // as then it would be the next base, or nearly
    while (fits + 1 < too_many) {
      const int64_t n = (fits + too_many) / 2;
      FormatPlan raised = before;
      raised.layers = {{member, n_layers - n, n_layers - 1, kPlanFormats[level]}};
      (take(raised) ? fits : too_many) = n;
    }
  }

  const Checkpoint& source_;
  PlanOptions options_;
  const double limit_;
  const std::function<double(const ConvertPlan&)>& size_of_;
  const bool few_keys_values_;
  FormatChoice choice_;
};

std::string layer_range(int64_t first, int64_t last) {
  return first == last ? fmt::format("layer {}", first) : fmt::format("layers {}-{}", first, last);
}

}  // namespace

FormatChoice choose_formats(const Checkpoint& source, PlanOptions options, double limit,
                            const std::function<double(const ConvertPlan&)>& size_of) {
  return Chooser(source, std::move(options), limit, size_of).choose();
}

std::string describe_formats(const FormatPlan& formats, const ConvertPlan& plan) {
  std::string text;
  for (const FormatClass& one : format_classes()) {
    const bool there =
        std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const PlannedTensor& tensor) {
          const FormatClass* of = format_class_of(tensor.role);
          return of != nullptr && of->member == one.member && tensor.compressed();
        });
    if (!there) continue;
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : ", ", one.in_text, formats.classes.*one.member);
    std::string exceptions;
    for (const LayerFormat& layers : formats.layers) {
      if (layers.member != one.member) continue;
      exceptions += fmt::format("{}{} in {}", exceptions.empty() ? "" : ", ", layers.format,
                                layer_range(layers.first, layers.last));
    }
    if (!exceptions.empty()) text += fmt::format(" ({})", exceptions);
  }
  return text;
}

int64_t count_layers(const Checkpoint& source) {
  const TensorRoles roles(source.config());
  int64_t n_layers = 0;
  for (const TensorEntry& tensor : source.tensors()) {
    const TensorRole role = roles.role(tensor.name, tensor.shape);
    if (format_class_of(role) == nullptr) continue;
    n_layers = std::max(n_layers, layer_of(tensor.name) + 1);
  }
  return n_layers;
}

double bits_per_weight(const Checkpoint& source, const ConvertPlan& plan) {
  int64_t n_weights = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    n_weights += source.tensors()[static_cast<size_t>(tensor.source)].n_elements();
  }
  return n_weights == 0
             ? 0
             : 8.0 * static_cast<double>(stored_bytes(plan)) / static_cast<double>(n_weights);
}

}  // namespace tq
