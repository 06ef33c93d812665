#include "convert/plan.h"

#include <set>
#include <utility>

#include "base/error.h"
#include "convert/layouts/int_export.h"
#include "convert/layouts/layout.h"
#include "convert/requantize.h"

namespace tq {
namespace {

class Planner {
 public:
  Planner(const Checkpoint& source, const PlanOptions& options)
      : source_(source),
        options_(options),
        counts_{.rule_uses = std::vector<int64_t>(options.rules.size())} {
    plan_.layout = options.layout;
    if (options.layout->survey == nullptr) {
      refuse_int_options();
      formats_ = choose_formats();
    }
    options.layout->check(options, formats_.classes);
    if (options.layout->survey != nullptr) survey();
    if (plan_.format.empty()) plan_.format = formats_.classes.mlp;
  }

  ConvertPlan make() {
    const PlanContext context{source_, options_, formats_, counts_, plan_.ints.get()};
    const TensorRoles roles(source_.config());
    for (const TensorEntry& tensor : source_.tensors()) {
      if (&tensor == source_.head_copy()) continue;  // the embedding table is stored already
      refuse_scaled_floats(tensor);
      const TensorRole role = roles.role(tensor.name, tensor.shape);
      for (TensorPart& part : parts(tensor, role)) {
        PlannedTensor planned;
        planned.source = tensor.index;
        planned.name = std::move(part.name);
        planned.row_begin = part.row_begin;
        planned.n_rows = part.n_rows;
        planned.role = role;
        options_.layout->plan(context, tensor, planned);
        plan_.tensors.push_back(std::move(planned));
      }
    }
    check_plane_names();
    // What it refuses shall be refused before anything is written.
    if (options_.layout->survey != nullptr) (void)options_.layout->config(plan_);
    add_notes();
    plan_.formats = std::move(formats_);
    return std::move(plan_);
  }

 private:
  void refuse_int_options() const {
    if (!options_.ints.asked()) return;
    fail(
        ErrorCode::kInvalidArgument,
        "--bits, --asymmetric, --group-size and --tp are of layouts of integers: give --layout awq "
        "or compressed-tensors, not {}",
        options_.layout->name);
  }

  void survey() {
    plan_.ints = options_.layout->survey(source_, options_, plan_.notes);
    plan_.format = int_export_name(*plan_.ints);
  }

  std::vector<TensorPart> parts(const TensorEntry& tensor, TensorRole role) const {
    if (options_.layout->parts != nullptr) return options_.layout->parts(tensor, role);
    return {{tensor.name, 0, tensor.n_rows()}};
  }

  // Names the plan where that is not the format of its linears.
  FormatPlan choose_formats() {
    if (options_.formats) {
      plan_.format = "mixed";
      return *options_.formats;
    }
    if (options_.preset.empty()) {
      if (options_.format != "auto") return {uniform_formats(need_format(options_.format)), {}};
      MemoryLimit memory{{}, options_.fits_in};
      if (options_.fits) {
        memory.holds = [this](const ClassFormats& formats) {
          return options_.fits(
              make_plan(source_, {.formats = FormatPlan{formats, {}}, .rules = options_.rules}));
        };
      }
      return {automatic_formats(source_, memory, plan_.notes), {}};
    }
    if (options_.format != "auto") {
      fail(ErrorCode::kInvalidArgument, "--preset chooses the formats: --format {} cannot be added",
           options_.format);
    }
    const Preset& preset = find_preset(options_.preset);
    plan_.format = preset.name;
    return {preset.formats, {}};
  }

  // Eight-bit floats come with separate scales that make up the weight: copying or encoding them
  // alone would be wrong.
  void refuse_scaled_floats(const TensorEntry& tensor) const {
    if (!tensor.dtype) return;
    if (*tensor.dtype == DType::kF8E4M3 || *tensor.dtype == DType::kF8E5M2) {
      fail(ErrorCode::kUnsupported,
           "{}: tensor {} is {}: scaled 8-bit checkpoints are not read; convert the bf16 original",
           source_.path().string(), tensor.name, dtype_info(*tensor.dtype).name);
    }
  }

  void check_plane_names() const {
    std::set<std::string_view> names;
    for (const PlannedTensor& tensor : plan_.tensors) {
      for (const SafetensorsItem& plane : tensor.planes) {
        if (!names.insert(plane.name).second) {
          fail(ErrorCode::kUnsupported, "{}: has a tensor {} of its own, a name the result needs",
               source_.path().string(), plane.name);
        }
      }
    }
  }

  void add_notes() {
    for (size_t i = 0; i < counts_.rule_uses.size(); ++i) {
      if (counts_.rule_uses[i] > 0) continue;
      plan_.notes.push_back(
          fmt::format("rule {} (\"{}\") is the first match of no tensor and has no effect", i + 1,
                      options_.rules[i].match));
    }
    if (counts_.ineligible > 0) {
      plan_.notes.push_back(fmt::format(
          "{} tensors keep their type although a rule names a format: only floating 2-D and 3-D "
          "tensors with rows of at least {} weights can be compressed",
          counts_.ineligible, kMinIn));
    }
    if (counts_.dequantised > 0) {
      plan_.notes.push_back(
          fmt::format("{} block-quantised tensors that stay uncompressed are stored as f16",
                      counts_.dequantised));
    }
    if (std::string note = requantize_note(source_, plan_); !note.empty()) {
      plan_.notes.push_back(std::move(note));
    }
  }

  const Checkpoint& source_;
  const PlanOptions& options_;
  PlanCounts counts_;
  ConvertPlan plan_;
  FormatPlan formats_;
};

}  // namespace

int64_t plane_bytes(const SafetensorsItem& plane) {
  int64_t bytes = dtype_info(plane.dtype).bytes;
  for (const int64_t dim : plane.shape) bytes *= dim;
  return bytes;
}

int64_t stored_bytes(const PlannedTensor& tensor) {
  int64_t bytes = 0;
  for (const SafetensorsItem& plane : tensor.planes) bytes += plane_bytes(plane);
  return bytes;
}

int64_t stored_bytes(const ConvertPlan& plan) {
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) bytes += stored_bytes(tensor);
  return bytes;
}

int64_t source_bytes(const PlannedTensor& tensor, const TensorEntry& entry) {
  const int64_t rows = entry.n_rows();
  if (tensor.n_rows == rows) return entry.stored_bytes;
  return static_cast<int64_t>(static_cast<double>(entry.stored_bytes) *
                              (static_cast<double>(tensor.n_rows) / static_cast<double>(rows)));
}

ConvertPlan make_plan(const Checkpoint& source, const PlanOptions& options) {
  return Planner(source, options).make();
}

}  // namespace tq
