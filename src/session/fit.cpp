#include "session/fit.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "model/arch/registry.h"
#include "session/device_memory.h"
#include "session/load.h"

namespace tq {

KvFormatId FitOptions::kv() const { return find_kv_format(kv_format)->id; }

LoadOptions FitOptions::load_options() const {
  return {.max_batch_tokens = batch, .kv = {.format = kv()}};
}

namespace {

using SizeOf = std::function<double(const ConvertPlan&)>;

// Bytes of memory that a plan's result needs.
SizeOf memory_size(const Checkpoint& checkpoint, const FitOptions& options) {
  const int64_t context =
      choose_context(read_spec(checkpoint), options.context, kDefaultFitContext);
  return memory_needed(checkpoint, {options.load_options(), context});
}

}  // namespace

FormatChoice fit_memory(const Checkpoint& checkpoint, const PlanOptions& plan, int64_t memory_bytes,
                        const FitOptions& options) {
  return choose_formats(checkpoint, plan, static_cast<double>(memory_bytes),
                        memory_size(checkpoint, options));
}

void fit_this_machine(const Checkpoint& checkpoint, const FitOptions& options, PlanOptions& plan) {
  const MemoryNeeds needs{options.load_options(),
                          options.context > 0 ? options.context : kDefaultFitContext};
  fit_device(checkpoint, "auto", 0, needs, plan);
}

FormatPlan choose_formats(const Checkpoint& checkpoint, const PlanOptions& plan,
                          const SizeTarget& target, const Measurements* measurements) {
  const bool memory = target.memory_bytes > 0;
  const double limit = memory ? static_cast<double>(target.memory_bytes) : target.bits_per_weight;
  const SizeOf size_of =
      memory ? memory_size(checkpoint, target.fit)
             : [&](const ConvertPlan& made) { return bits_per_weight(checkpoint, made); };
  const FormatChoice choice =
      measurements == nullptr
          ? choose_formats(checkpoint, plan, limit, size_of)
          : choose_by_measurements(checkpoint, plan, *measurements, limit, size_of);
  const auto text = [memory](double size) {
    return memory ? human_bytes(size) : fmt::format("{:.3f} bits a weight", size);
  };
  const std::string asked = memory ? "--fit " + size_text(target.memory_bytes)
                                   : fmt::format("--bpw {}", target.bits_per_weight);
  PlanOptions made = plan;
  made.formats = choice.formats;
  const std::string formats = describe_formats(choice.formats, make_plan(checkpoint, made));
  if (!choice.fits) {
    fail(memory ? ErrorCode::kOutOfMemory : ErrorCode::kInvalidArgument,
         "{} cannot be met: the least is {} ({}){}", asked, text(choice.size), formats,
         memory ? "; a shorter --ctx or a smaller --batch needs less" : "");
  }
  std::string why = "there are no more bits";
  if (measurements != nullptr) {
    double sum = 0;
    for (const double one : predicted_divergence(*measurements, choice.formats)) sum += one;
    why = fmt::format("predicted KLD on random tokens {:.4f}", sum);
  } else if (!choice.next.empty()) {
    why =
        fmt::format("with {} for most weights it would be {}", choice.next, text(choice.next_size));
  }
  info("{}: {}: {}; {}", asked, formats, text(choice.size), why);
  return choice.formats;
}

std::string size_text(int64_t bytes) {
  for (const auto& [unit, name] :
       {std::pair(int64_t{1} << 30, "GiB"), std::pair(int64_t{1'000'000'000}, "GB"),
        std::pair(int64_t{1} << 20, "MiB"), std::pair(int64_t{1'000'000}, "MB")}) {
    if (bytes > 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return fmt::format("{}", bytes);
}

}  // namespace tq
