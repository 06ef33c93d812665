// What a model shall be able to do in the memory it must fit, and the choice of formats by that,
// for plans and conversions.
#pragma once

#include <cstdint>
#include <string>

#include "convert/fit.h"
#include "convert/measured_plan.h"
#include "session/capacity.h"
#include "session/options.h"

namespace tq {

constexpr int64_t kDefaultFitContext = 8192;

struct FitOptions {
  int64_t context = 0;  // tokens of one sequence; 0: kDefaultFitContext or the model's own
  std::string kv_format = std::string(kv_format_traits(default_kv_format()).name);
  int64_t batch = 512;

  KvFormatId kv() const;
  LoadOptions load_options() const;
};

template <typename Visit>
void visit_options(FitOptions& options, Visit&& visit) {
  visit(
      OptionText{"ctx",
                 "Context in tokens that must fit; 0 is 8192, or the model's own if that is less"},
      options.context, TokenCount{});
  visit(OptionText{"kv-format", "Format of the KV cache", "kv-dtype"}, options.kv_format,
        StoredKvFormat{});
  visit(OptionText{"batch", "Tokens of one forward pass at most"}, options.batch,
        Range{1, int64_t{1} << 16});
}

// What a conversion is asked to fit.
struct SizeTarget {
  int64_t memory_bytes = 0;    // to run in; 0: not asked for
  double bits_per_weight = 0;  // likewise, over all that is stored
  FitOptions fit;

  bool asked() const { return memory_bytes > 0 || bits_per_weight > 0; }
};

template <typename Visit>
void visit_options(SizeTarget& target, Visit&& visit) {
  visit(OptionText{"fit",
                   "Choose a format for each class of tensors so that the model runs in this "
                   "much memory, such as 12GiB, with the context of --ctx"},
        target.memory_bytes, ByteSize{});
  visit(OptionText{"bpw", "Choose formats so that at most this many bits are stored for a weight"},
        target.bits_per_weight, Decimals{0.1, 64.0});
  visit_options(target.fit, visit);
}

// The formats with most bits with which the model runs in memory_bytes. Sizes are bytes of memory.
// plan: rules to plan with. Throws what Capacity and make_plan do.
FormatChoice fit_memory(const Checkpoint& checkpoint, const PlanOptions& plan, int64_t memory_bytes,
                        const FitOptions& options);

// Makes format auto depend on what runs on this machine: its GPU, or without one its memory.
void fit_this_machine(const Checkpoint& checkpoint, const FitOptions& options, PlanOptions& plan);

// Chooses formats, by the classes' rules or by measurements of all the source's groups, and says
// which and why. plan: rules and layout to plan with. Throws kOutOfMemory, or kInvalidArgument for
// bits, with the least that would do.
FormatPlan choose_formats(const Checkpoint& checkpoint, const PlanOptions& plan,
                          const SizeTarget& target, const Measurements* measurements = nullptr);

// "12GiB", "500MB": exact where the unit divides it.
std::string size_text(int64_t bytes);

}  // namespace tq
