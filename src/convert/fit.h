// Choosing a storage format for each class of tensors by a size that must not be exceeded: bytes of
// memory, or bits a weight. Plain functions; deterministic.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "convert/plan.h"

namespace tq {

struct FormatChoice {
  bool fits = false;  // false: `formats` are the smallest that would be chosen
  ClassFormats formats;
  double size = 0;  // of these
  // Where there are larger ones: the format that most weights would get next, and what it takes.
  std::string next;
  double next_size = 0;
};

// The most bits whose size is at most `limit`. First the one format for most weights (the routed
// experts; without them the MLPs) that fits with all others alike, but keys and values, head and
// embeddings at six bits or more; then, as far as they fit, a bit more for the output projection,
// the rest of attention and, beside experts, the MLPs, eight bits for head, embeddings, keys and
// values, and a second bit for the former: errors cost most where every token passes and few
// weights are (docs/convert.md). size_of says what a plan takes, and never falls as formats grow.
// Throws what make_plan throws; plan.format and plan.preset are not used.
FormatChoice choose_formats(const Checkpoint& source, PlanOptions plan, double limit,
                            const std::function<double(const ConvertPlan&)>& size_of);

// "experts tq3, MLP tq4, attention tq4 (keys and values tq6, output tq5), ...": what a plan has.
std::string describe_formats(const ClassFormats& formats, const ConvertPlan& plan);

// Bits that the plan stores for a weight, over all tensors, scales included.
double bits_per_weight(const Checkpoint& source, const ConvertPlan& plan);

}  // namespace tq
