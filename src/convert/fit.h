// Choosing a storage format for each class of tensors by a size that must not be exceeded: bytes of
// memory, or bits a weight. Plain functions; deterministic.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "convert/plan.h"

namespace tq {

struct FormatChoice {
  bool fits = false;  // false: `formats` are the smallest that would be chosen
  FormatPlan formats;
  double size = 0;  // of these
  // Where there are larger ones: the format that most weights would get next, and what it takes.
  std::string next;
  double next_size = 0;
};

// The most bits whose size is at most `limit`. First the one format for most weights (the routed
// experts; without them the MLPs) that fits with all others alike, but head and embeddings, and
// keys and values where they are few, at six bits or more. Then, as far as they fit, a bit more for
// the output projection, keys and values where they are many, the rest of attention and, beside
// experts, the MLPs; then the next format for most weights in as many layers as it can be had, from
// the last; eight bits for keys and values, head and embeddings. Errors cost most where every token
// passes and few weights are (docs/convert.md). size_of says what a plan takes, and never falls as
// formats grow. Throws what make_plan throws; plan.format and plan.preset are not used.
FormatChoice choose_formats(const Checkpoint& source, PlanOptions plan, double limit,
                            const std::function<double(const ConvertPlan&)>& size_of);

// "experts tq3 (tq4 in layers 20-29), MLPs tq4, attention tq4, ...": what a plan has.
std::string describe_formats(const FormatPlan& formats, const ConvertPlan& plan);

// Layers of the source; 0 when no name of a tensor tells.
int64_t count_layers(const Checkpoint& source);

// Bits that the plan stores for a weight, over all tensors, scales included.
double bits_per_weight(const Checkpoint& source, const ConvertPlan& plan);

}  // namespace tq
