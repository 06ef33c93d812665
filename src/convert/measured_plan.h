// Plans made from measurements: how much divergence each group of tensors causes at one format, and
// the formats with which all groups together cause least in a given size. Plain values; no model is
// run here (session/plan_meter.h does).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/fit.h"

namespace tq {

// The tensors of one class in layers [first, last]; experts are one class, so tied. Head and
// embeddings: -1 to -1.
struct TensorGroup {
  FormatMember member;
  int64_t first = -1;
  int64_t last = -1;
  int64_t n_weights = 0;
  bool operator==(const TensorGroup&) const = default;
};
// "MLPs 6-11", "head".
std::string group_name(const TensorGroup& group);

// Of all compressible tensors, by class, then layer; layers are cut into n_parts parts (fewer where
// there are fewer layers). Groups that a plan keeps whatever it says are left out.
std::vector<TensorGroup> tensor_groups(const Checkpoint& source, int64_t n_parts);

// A plan that compresses one group and keeps the rest.
FormatPlan only_group(const TensorGroup& group, std::string_view format);

// Squared error over squared norm of Gaussian weights: what divergence grows with.
double format_error(const FormatTraits& format, Effort effort);

struct MeasuredGroup {
  TensorGroup group;
  double kld = 0;             // mean over the tokens, nats, with this group alone at `format`
  double standard_error = 0;  // of kld
};
// As a file holds it, whole or in parts.
struct Measurements {
  std::string format;  // of the group that is measured, encoded with effort fast
  int64_t n_tokens = 0;
  uint64_t seed = 0;  // of the random tokens
  Json source;        // source_identity(): of another source nothing can be used
  std::vector<MeasuredGroup> groups;

  // Null for a group that was not measured.
  const MeasuredGroup* find(const TensorGroup& group) const;
};
Json measurements_json(const Measurements& measurements);
// Throws kInvalidArgument naming the field for anything that is none.
Measurements parse_measurements(const Json& json, const std::string& name);

// The divergence that a plan is to cause by these: of each group the measured one, times the error
// of the plan's format over that of the measured. Parallel to the groups.
std::vector<double> predicted_divergence(const Measurements& measurements, const FormatPlan& plan);

// The formats of groups (of kPlanFormats; from three bits, or two where three do not fit; head and
// embeddings from six) with the least predicted divergence whose size is at most `limit`: one by
// one the step that saves most for a bit. The rest of a FormatChoice as choose_formats() has it,
// without `next`. Every group of the source must have been measured.
FormatChoice choose_by_measurements(const Checkpoint& source, PlanOptions plan,
                                    const Measurements& measurements, double limit,
                                    const std::function<double(const ConvertPlan&)>& size_of);

}  // namespace tq
