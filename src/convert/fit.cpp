#include "convert/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace tq {
namespace {

// By bits.
constexpr std::array<std::string_view, 6> kFormats = {"tq2", "tq3", "tq4", "tq5", "tq6", "tq8"};
constexpr size_t kSixBits = 4;
constexpr size_t kEightBits = 5;

// Formats as indices, to count in.
struct Levels {
  size_t embed, head, keys_values, output, attention, mlp, experts;

  ClassFormats formats() const {
    return {kFormats[embed],     kFormats[head], kFormats[keys_values], kFormats[output],
            kFormats[attention], kFormats[mlp],  kFormats[experts]};
  }
};

Levels base(size_t level) {
  const size_t table = std::max(level, kSixBits);
  return {table, table, table, level, level, level, level};
}

// What is raised after the base, in this order, and to what.
struct Raise {
  size_t Levels::*what;
  size_t level;
};
std::vector<Raise> raises(size_t base, bool experts) {
  std::vector<Raise> list;
  const auto bits_more = [&](size_t n) {
    const size_t level = std::min(base + n, kEightBits);
    list.push_back({&Levels::output, level});
    list.push_back({&Levels::attention, level});
    if (experts) list.push_back({&Levels::mlp, level});
  };
  bits_more(1);
  for (const auto what : {&Levels::keys_values, &Levels::head, &Levels::embed}) {
    list.push_back({what, kEightBits});
  }
  bits_more(2);
  return list;
}

bool has(const ConvertPlan& plan, TensorClass wanted) {
  return std::any_of(plan.tensors.begin(), plan.tensors.end(), [wanted](const PlannedTensor& one) {
    return one.tensor_class() == wanted && one.compressed();
  });
}

}  // namespace

FormatChoice choose_formats(const Checkpoint& source, PlanOptions options, double limit,
                            const std::function<double(const ConvertPlan&)>& size_of) {
  const auto size = [&](const Levels& levels) {
    options.formats = levels.formats();
    return size_of(make_plan(source, options));
  };
  FormatChoice choice;
  Levels levels = base(0);
  choice.size = size(levels);
  choice.fits = choice.size <= limit;
  size_t level = 0;
  while (choice.fits && level < kEightBits) {
    choice.next = kFormats[level + 1];
    choice.next_size = size(base(level + 1));
    if (choice.next_size > limit) break;
    ++level;
    levels = base(level);
    choice.size = std::exchange(choice.next_size, 0);
    choice.next.clear();
  }
  options.formats = levels.formats();
  const bool experts = has(make_plan(source, options), TensorClass::kExperts);
  if (!experts) levels.experts = levels.mlp;
  for (const Raise& raise : raises(level, experts)) {
    if (!choice.fits || levels.*raise.what >= raise.level) continue;
    Levels raised = levels;
    raised.*raise.what = raise.level;
    const double raised_size = size(raised);
    if (raised_size > limit || raised_size == choice.size)
      continue;  // or there are no such weights
    levels = raised;
    choice.size = raised_size;
  }
  choice.formats = levels.formats();
  return choice;
}

std::string describe_formats(const ClassFormats& formats, const ConvertPlan& plan) {
  std::string text;
  const auto add = [&](TensorClass tensor_class, std::string_view name, std::string_view format) {
    if (!has(plan, tensor_class)) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, format);
  };
  add(TensorClass::kExperts, "experts", formats.experts);
  add(TensorClass::kMlp, "MLPs", formats.mlp);
  add(TensorClass::kAttention, "attention", formats.attention);
  add(TensorClass::kAttention, "its output", formats.output);
  add(TensorClass::kAttention, "keys and values", formats.keys_values);
  add(TensorClass::kHead, "head", formats.head);
  add(TensorClass::kEmbed, "embeddings", formats.embed);
  return text;
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
