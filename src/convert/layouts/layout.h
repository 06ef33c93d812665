// Layouts: what the files of a result look like. A layout is one file here and one row of
// TQ_LAYOUTS; nothing else asks which one it is. Constant data.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/plan.h"
#include "convert/side_files.h"

namespace tq {

// What a layout plans a tensor by.
struct PlanContext {
  const Checkpoint& source;
  const PlanOptions& options;
  const FormatPlan& formats;  // after Layout::check
  PlanCounts& counts;
  const IntExport* ints;  // Layout::survey's, or null
};

// Rows of a source's tensor that become a tensor of their own.
struct TensorPart {
  std::string name;
  int64_t row_begin = 0;
  int64_t n_rows = 0;
};

struct Layout {
  std::string_view name;     // of --layout, in journals and results
  std::string_view purpose;  // for help texts
  // The encoder's only effort, where others would not give what the layout's readers expect.
  std::optional<Effort> only_effort;
  // Throws kInvalidArgument for options that the files cannot follow. Formats that nobody asked for
  // (format "auto") may be changed to what they can hold.
  void (*check)(const PlanOptions& options, ClassFormats& formats);
  // Null, or for layouts of integers: what has to be known of all tensors before one is planned.
  // Such a layout has no formats for classes: check() gets none. Adds notes. Throws kUnsupported
  // naming the tensor that the files cannot hold.
  std::shared_ptr<const IntExport> (*survey)(const Checkpoint& source, const PlanOptions& options,
                                             std::vector<std::string>& notes) = nullptr;
  // Null, or into which tensors one of the source is taken apart. Throws kUnsupported.
  std::vector<TensorPart> (*parts)(const TensorEntry& tensor, TensorRole role) = nullptr;
  // Fills in what an action needs: all behind `role`.
  void (*plan)(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned);
  // quantization_config of config.json; null: there is none.
  Json (*config)(const ConvertPlan& plan);
  // The text of tq_config.json; null: there is no such file.
  std::string (*describe)(const Conversion& conversion);
};

// Each is a constant, defined in a file of its own: kNativeLayout is ours (docs/formats.md).
#define TQ_LAYOUTS(X)         \
  X(kNativeLayout)            \
  X(kTurboquantVllmLayout)    \
  X(kCompressedTensorsLayout) \
  X(kAwqLayout)               \
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
