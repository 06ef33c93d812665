#include "session/plan_meter.h"

#include <optional>
#include <random>

#include "base/error.h"
#include "model/arch/registry.h"

namespace tq {
namespace {

constexpr int64_t kWindow = 128;  // tokens that see each other

ModelOptions as_stored(const MeterOptions& options) {
  ModelOptions model = options.model.as_stored(options.model.path);
  model.ctx = kWindow + 1;  // and BOS
  return model;
}

// What stands before every text: BOS, or nothing.
std::vector<int32_t> beginning(const Checkpoint& source) {
  try {
    const auto tokenizer = read_tokenizer(source);
    if (tokenizer) return split_bos(*tokenizer, tokenizer->encode("a", {})).prefix;
  } catch (const Error&) {  // a tokenizer that cannot be used: the model takes ids only
  }
  return {};
}

}  // namespace

PlanMeter::PlanMeter(const MeterOptions& options, const EvalProgress& progress)
    : options_(options) {
  const auto source =
      open_checkpoint(options.model.path, {.ignore_config = options.model.ignore_config});
  const auto vocab = static_cast<uint64_t>(read_spec(*source).vocab);
  std::mt19937_64 draw(options_.seed);
  for (int64_t i = 0; i < options_.n_tokens; ++i) {
    ids_.push_back(static_cast<int32_t>(draw() % vocab));
  }
  prefix_ = beginning(*source);
  run(nullptr, progress,
      [this](int32_t, std::span<const float> row) { rows_.emplace_back(row.begin(), row.end()); });
}

KldResult PlanMeter::measure(const FormatPlan& plan, const EvalProgress& progress) const {
  KldResult result;
  size_t next = 0;
  run(&plan, progress, [&](int32_t token, std::span<const float> row) {
    const std::vector<float>& reference = rows_.at(next++);
    result.add(divergence(token, row, reference), argmax(row) == argmax(reference));
  });
  return result;
}

void PlanMeter::run(const FormatPlan* plan, const EvalProgress& progress,
                    const ScoredVisitor& visit) const {
  const ModelNeeds needs{.logits_of_all = true, .as_stored = true, .formats = plan};
  const LoadedModel loaded = open_model(as_stored(options_), needs);
  LogitReader reader(*loaded.model, options_.model.kv(), loaded.model->options().max_context);
  const EvalText text{
      .ids = ids_,
      .prefix = prefix_,
      .windows = eval_windows(options_.n_tokens, kWindow, kWindow, !prefix_.empty())};
  visit_scored(reader, text, progress, visit);
}

}  // namespace tq
