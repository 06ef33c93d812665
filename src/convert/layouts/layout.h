// Layouts: what the files of a result look like. A layout is one file here and one row of
// TQ_LAYOUTS; nothing else asks which one it is. Constant data.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "convert/plan.h"
#include "convert/side_files.h"

namespace tq {

// What a layout plans a tensor by.
struct PlanContext {
  const Checkpoint& source;
  const PlanOptions& options;
  const FormatPlan& formats;  // after Layout::check
  PlanCounts& counts;
};

struct Layout {
  std::string_view name;     // of --layout, in journals and results
  std::string_view purpose;  // for help texts
  // The encoder's only effort, where others would not give what the layout's readers expect.
  std::optional<Effort> only_effort;
  // Throws kInvalidArgument for options that the files cannot follow. Formats that nobody asked for
  // (format "auto") may be changed to what they can hold.
  void (*check)(const PlanOptions& options, ClassFormats& formats);
  // Fills in all of `planned` but its source and class.
  void (*plan)(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned);
  // quantization_config of config.json; null: there is none.
  Json (*config)(const ConvertPlan& plan);
  // The text of tq_config.json; null: there is no such file.
  std::string (*describe)(const Conversion& conversion);
};

// Each is a constant, defined in a file of its own: kNativeLayout is ours (docs/formats.md).
#define TQ_LAYOUTS(X)      \
  X(kNativeLayout)         \
  X(kTurboquantVllmLayout) \
  X(kPlainLayout)

#define TQ_DECLARE_LAYOUT(layout) extern const Layout layout;
TQ_LAYOUTS(TQ_DECLARE_LAYOUT)
#undef TQ_DECLARE_LAYOUT

std::span<const Layout* const> all_layouts();
// Throws kInvalidArgument, with all names, for one that is not on the list.
const Layout& find_layout(std::string_view name);

// For the layouts.
// Rows shorter than this would be mostly scales.
constexpr int64_t kMinIn = 32;
// Whether formats with scales can hold it: floating, 2-D or 3-D, rows not too short.
bool is_compressible(const TensorEntry& tensor);
// The source's bytes, unchanged; for tensors with a dtype.
void plan_copy(const TensorEntry& tensor, PlannedTensor& planned);
// Numbers in a format without scales, or a copy where the tensor has that type already.
void plan_plain(const TensorEntry& tensor, const FormatTraits& format, PlannedTensor& planned);
// What a tensor without a dtype is kept as: plain values behind a change of basis (GGUF's permuted
// rows) keep their type; blocks of other codecs are dequantised to f16.
const FormatTraits& plain_format(const TensorEntry& tensor, PlanCounts& counts);

}  // namespace tq
