// config.json of a result, its report, and what a layout describes it by. Pure functions of the
// source and the conversion: no times, no paths, nothing of the machine.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "convert/convert.h"
#include "convert/plan.h"
#include "convert/quantize.h"
#include "io/checkpoint.h"
#include "io/native/native_files.h"
#include "io/native/native_manifest.h"

namespace tq {

// What the JSON files are made of. Non-owning.
struct Conversion {
  const Checkpoint& source;
  const ConvertPlan& plan;
  const EncodeOptions& encode;
  const std::vector<TensorResult>& results;  // parallel to plan.tensors
  const ConvertReport& report;
  const NativeFiles& files;  // all but tq_config.json
};

// The last part of a path: what may be recorded of where the source was.
std::string base_name(const fs::path& path);

// config.json: the source's, with the layout's quantization_config.
Json model_config(const Checkpoint& source, const ConvertPlan& plan);

// tq_config.json of a result, but for what is said of single tensors and the hash of itself.
NativeManifest base_manifest(const Conversion& conversion);

// Aggregates results by class and format, in the plan's order.
ConvertReport make_report(const Checkpoint& source, const ConvertPlan& plan,
                          const std::vector<TensorResult>& results);

}  // namespace tq
