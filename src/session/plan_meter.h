// PlanMeter: what a plan of formats does to a model's predictions, on random tokens. They need no
// data, and rank classes of tensors as text does (docs/quality.md).
#pragma once

#include <cstdint>
#include <vector>

#include "convert/class_formats.h"
#include "engine/evaluate.h"
#include "session/open.h"

namespace tq {

struct MeterOptions {
  ModelOptions model;  // of the source; its format and preset are not used
  int64_t n_tokens = 256;
  uint64_t seed = 1;  // of the tokens
};

// One model at a time is in memory, and what the source predicts: 4 bytes a token and of the
// vocabulary. Of a source that is mapped (16-bit safetensors) only the compressed part takes
// memory, so it may be larger than memory: then it is read from the disk once for each measurement
// and for each 16M / vocabulary tokens.
class PlanMeter {
 public:
  // Runs the source as it is stored. Throws what open_model throws.
  explicit PlanMeter(const MeterOptions& options, const EvalProgress& progress = {});

  // KL(source || plan). Compresses while loading, with effort fast.
  KldResult measure(const FormatPlan& plan, const EvalProgress& progress = {}) const;

 private:
  void run(const FormatPlan* plan, const EvalProgress& progress, const ScoredVisitor& visit) const;

  MeterOptions options_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> prefix_;           // BOS, where texts have one
  std::vector<std::vector<float>> rows_;  // of scored tokens: logits of the source
};

}  // namespace tq
