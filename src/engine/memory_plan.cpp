#include "engine/memory_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/human.h"
#include "base/math.h"
#include "engine/load.h"
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
  std::string text =
      fmt::format("weights {}, buffers {}, KV cache {} ({} x {} tokens): {}",
                  bytes_text(weight_bytes), bytes_text(in_use_bytes + scratch_bytes),
                  bytes_text(kv_bytes), sequences, context, bytes_text(total_bytes()));
  if (limit_bytes > 0) text += " of " + bytes_text(limit_bytes);
  return text;
}

MemoryPlan MemoryPlanner::plan(int64_t context, int64_t batch_tokens) const {
  LoadOptions options = options_;
  options.max_context = context;
  options.max_batch_tokens = std::max(batch_tokens, options.max_sequences);
  const ModelSpec spec = read_spec(checkpoint_);
  const ModelSize size = Model::measure(checkpoint_, backend_, options);
  MemoryPlan plan;
  plan.limit_bytes = limit_bytes_;
  plan.in_use_bytes = backend_.memory_used() + kReserve;
  plan.weight_bytes = size.weight_bytes;
  plan.scratch_bytes = size.scratch_bytes;
  plan.max_context = spec.max_position;
  plan.context = context > 0 ? context : spec.max_position;
  plan.sequences = sequence_limit(options);
  const int64_t n_blocks = plan.sequences * ceil_div(plan.context, kKvBlockTokens);
  plan.kv_bytes =
      size.kv.size_bytes(kv_dtype_, n_blocks, size.kv.recent_blocks_of(plan.sequences, n_blocks));
  return plan;
}

int64_t MemoryPlanner::longest_context(int64_t most) const {
  return longest_context(most, options_.max_batch_tokens);
}

int64_t MemoryPlanner::longest_context(int64_t most, int64_t batch_tokens) const {
  const MemoryPlan largest = plan(most, batch_tokens);
  if (largest.fits()) return largest.context;
  int64_t fits = 0;  // steps
  int64_t fails = ceil_div(largest.context, kContextStep);
  while (fits + 1 < fails) {
    const int64_t middle = (fits + fails) / 2;
    (plan(middle * kContextStep, batch_tokens).fits() ? fits : fails) = middle;
  }
  return fits * kContextStep;
}

std::vector<std::string> MemoryPlanner::ways_to_fit(const MemoryPlan& refused) const {
  std::vector<std::string> ways;
  std::vector<std::string> both;
  if (const int64_t context = longest_context(refused.context); context > 0) {
    ways.push_back(fmt::format("--ctx {}", context));
  }
  const int64_t smallest = std::max(kSmallestBatch, options_.max_sequences);
  for (int64_t batch = options_.max_batch_tokens / 2; batch >= smallest; batch /= 2) {
    if (plan(refused.context, batch).fits()) {
      ways.push_back(fmt::format("--batch {}", batch));
      break;
    }
    const int64_t context = both.empty() ? longest_context(refused.context, batch) : 0;
    if (context > 0) both.push_back(fmt::format("--batch {} --ctx {}", batch, context));
  }
  return ways.empty() ? both : ways;
}

void MemoryPlanner::check_fits(const MemoryPlan& refused) const {
  if (refused.fits()) return;
  std::string advice = "its weights alone are too large: choose a smaller --format or --preset";
  if (refused.in_use_bytes + refused.weight_bytes < refused.limit_bytes) {
    const std::vector<std::string> ways = ways_to_fit(refused);
    advice = ways.empty() ? "fewer sequences or a smaller --format or --preset are needed"
                          : fmt::format("it would fit with {}", fmt::join(ways, ", or with "));
  }
  fail(ErrorCode::kOutOfMemory, "the model does not fit its device: {}; {}", refused.text(),
       advice);
}

int64_t available_host_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    int64_t kilobytes = 0;
    if (name == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
    std::getline(file, name);
  }
  return 0;
}

}  // namespace tq
