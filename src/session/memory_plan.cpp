#include "session/memory_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "base/math.h"
#include "engine/model_limits.h"

namespace tq {
namespace {

constexpr int64_t kContextStep = 256;  // tokens; contexts that are searched
constexpr int64_t kSmallestBatch = 64;
// Small things that are allocated after the plan, such as the ids never to be chosen.
constexpr int64_t kReserve = int64_t{2} << 20;

std::string bytes_text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

}  // namespace

std::string MemoryPlan::text() const {
  std::string text = "weights " + bytes_text(weight_bytes);
  if (mapped_bytes > 0) text += fmt::format(" ({} mapped)", bytes_text(mapped_bytes));
  const std::string tokens = shares_pages
                                 ? fmt::format("{} tokens for {} at a time, {} each at most",
                                               n_pages * kKvBlockTokens, sequences, context)
                                 : fmt::format("{} x {} tokens", sequences, context);
  text +=
      fmt::format(", buffers {}, KV cache {} ({}): {}", bytes_text(in_use_bytes + scratch_bytes),
                  bytes_text(kv_bytes), tokens, bytes_text(total_bytes()));
  if (limit_bytes > 0) text += " of " + bytes_text(limit_bytes);
  return text;
}

MemoryPlanner::MemoryPlanner(const Checkpoint& checkpoint, const Backend& backend,
                             const LoadOptions& options, int64_t limit_bytes)
    : backend_(backend), options_(options), limit_bytes_(limit_bytes) {
  const KvFormatId kv_format = options.kv.format;
  if (!backend.has_kernels(kv_format)) {
    fail(ErrorCode::kUnsupported,
         "{} has no kernels for a KV cache of {}; another --kv-format, or --device cpu",
         backend.name(), kv_format_traits(kv_format).name);
  }
  meter_ = std::make_shared<ModelMeter>(checkpoint, backend, options);
  check_kv_format(kv_format, meter_->spec().kv_layers());
}

MemoryPlan MemoryPlanner::plan(int64_t context, int64_t batch_tokens) const {
  LoadOptions options = options_;
  options.max_batch_tokens = std::max(batch_tokens, options.max_sequences);
  const ModelSpec& spec = meter_->spec();
  const ModelSize size = meter_->size(context, options.max_batch_tokens);
  MemoryPlan plan;
  plan.limit_bytes = limit_bytes_;
  plan.in_use_bytes = backend_.memory_used() + kReserve;
  plan.weight_bytes = size.weight_bytes;
  plan.mapped_bytes = size.mapped_bytes;
  plan.scratch_bytes = size.scratch_bytes;
  if (backend_.on_host()) {  // elsewhere the host has the logits, or nobody
    plan.scratch_bytes += logit_row_limit(options) * spec.vocab * int64_t{sizeof(float)};
  }
  plan.max_context = spec.max_position;
  plan.context = context > 0 ? context : spec.max_position;
  plan.sequences = sequence_limit(options);
  const int64_t pages_of_one = ceil_div(plan.context, kKvBlockTokens);
  const auto set_pages = [&](int64_t n_pages) {
    plan.n_pages = n_pages;
    plan.kv_bytes =
        size.kv.size_bytes(options.kv.format, size.kv.pages_of(plan.sequences, n_pages));
  };
  set_pages(plan.sequences * pages_of_one);
  plan.shares_pages = shares_pages_ && plan.sequences > 1;
  if (!plan.shares_pages || plan.fits()) return plan;
  int64_t least = pages_of_one;  // which is taken, whether it fits or not
  int64_t too_many = plan.n_pages;
  while (least + 1 < too_many) {
    const int64_t middle = (least + too_many) / 2;
    set_pages(middle);
    (plan.fits() ? least : too_many) = middle;
  }
  set_pages(least);
  return plan;
}

int64_t MemoryPlanner::most_sequences(int64_t context) const {
  constexpr int64_t kMost = int64_t{1} << 20;
  const MemoryPlan one = plan(context);
  const KvLayout kv = meter_->size(one.context, options_.max_batch_tokens).kv;
  const int64_t pages_of_one = ceil_div(one.context, kKvBlockTokens);
  const int64_t row_bytes = meter_->spec().vocab * int64_t{sizeof(float)};  // of logits
  const int64_t room = limit_bytes_ - (one.total_bytes() - one.kv_bytes);
  const auto holds = [&](int64_t n) {
    return kv.size_bytes(options_.kv.format, kv.pages_of(n, n * pages_of_one)) +
               (n - one.sequences) * row_bytes <=
           room;
  };
  int64_t fits = 0;
  int64_t fails = kMost;
  while (fits + 1 < fails) {
    const int64_t middle = (fits + fails) / 2;
    (holds(middle) ? fits : fails) = middle;
  }
  return fits;
}

int64_t MemoryPlanner::longest_context(int64_t most, MustFit what) const {
  return longest_context(most, options_.max_batch_tokens, what);
}

int64_t MemoryPlanner::longest_context(int64_t most, int64_t batch_tokens, MustFit what) const {
  const auto holds = [what](const MemoryPlan& plan) {
    return what == MustFit::kAll ? plan.fits() : plan.runs();
  };
  const MemoryPlan largest = plan(most, batch_tokens);
  if (holds(largest)) return largest.context;
  int64_t fits = 0;  // steps
  int64_t fails = ceil_div(largest.context, kContextStep);
  while (fits + 1 < fails) {
    const int64_t middle = (fits + fails) / 2;
    (holds(plan(middle * kContextStep, batch_tokens)) ? fits : fails) = middle;
  }
  return fits * kContextStep;
}

std::vector<std::string> MemoryPlanner::ways_to_fit(const MemoryPlan& refused) const {
  std::vector<std::string> ways;
  std::vector<std::string> both;
  constexpr MustFit kWhat = MustFit::kAllButMapped;
  if (const int64_t context = longest_context(refused.context, kWhat); context > 0) {
    ways.push_back(fmt::format("--ctx {}", context));
  }
  const int64_t smallest = std::max(kSmallestBatch, options_.max_sequences);
  for (int64_t batch = options_.max_batch_tokens / 2; batch >= smallest; batch /= 2) {
    if (plan(refused.context, batch).runs()) {
      ways.push_back(fmt::format("--batch {}", batch));
      break;
    }
    const int64_t context = both.empty() ? longest_context(refused.context, batch, kWhat) : 0;
    if (context > 0) both.push_back(fmt::format("--batch {} --ctx {}", batch, context));
  }
  return ways.empty() ? both : ways;
}

void MemoryPlanner::check_runs(const MemoryPlan& refused) const {
  if (refused.runs()) return;
  std::string advice = "its weights alone are too large: choose a smaller --format or --preset";
  const int64_t weights = refused.weight_bytes - refused.mapped_bytes;
  if (refused.in_use_bytes + weights < refused.limit_bytes) {
    const std::vector<std::string> ways = ways_to_fit(refused);
    advice = ways.empty() ? "fewer sequences or a smaller --format or --preset are needed"
                          : fmt::format("it would fit with {}", fmt::join(ways, ", or with "));
  }
  fail(ErrorCode::kOutOfMemory, "the model does not fit {}: {}; {}",
       backend_.on_host() ? "in memory" : "its device", refused.text(), advice);
}

MemoryPlan plan_host_memory(const MemoryPlanner& planner, std::optional<int64_t> context,
                            int64_t fallback) {
  const int64_t available = planner.limit_bytes();
  if (!context && available > 0) {
    // What is available is an estimate, and others want some of it.
    context = planner.with_limit(available - available / 8).longest_context(0);
    if (*context < fallback) {
      context = planner.longest_context(fallback, MustFit::kAllButMapped);
      if (*context == 0) context = fallback;  // is refused with its numbers
    }
  }
  // Pages that are shared take as much as there is, so that they leave others the same.
  MemoryPlan plan = planner.with_limit(available - available / 8).plan(context.value_or(fallback));
  plan.limit_bytes = available;
  planner.check_runs(plan);
  return plan;
}

}  // namespace tq
