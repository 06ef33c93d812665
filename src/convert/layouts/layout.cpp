#include "convert/layouts/layout.h"

#include "base/ascii.h"
#include "base/error.h"

namespace tq {

std::span<const Layout* const> all_layouts() {
#define TQ_ADDRESS(layout) &layout,
  static constexpr const Layout* kLayouts[] = {TQ_LAYOUTS(TQ_ADDRESS)};
#undef TQ_ADDRESS
  return kLayouts;
}

const Layout& find_layout(std::string_view name) {
  std::string names;
  for (const Layout* layout : all_layouts()) {
    if (layout->name == name) return *layout;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", layout->name);
  }
  fail(ErrorCode::kInvalidArgument, "unknown layout \"{}\"; use one of: {}", name, names);
}

bool is_compressible(const TensorEntry& tensor) {
  const size_t rank = tensor.shape.size();
  return tensor.is_float() && (rank == 2 || rank == 3) && tensor.in() >= kMinIn &&
         tensor.n_rows() > 0;
}

void plan_copy(const TensorEntry& tensor, PlannedTensor& planned) {
  planned.action = TensorAction::kCopy;
  planned.traits = nullptr;
  planned.format = lower_case(dtype_info(*tensor.dtype).name);
  planned.planes = {{tensor.name, *tensor.dtype, tensor.shape}};
}

void plan_plain(const TensorEntry& tensor, const FormatTraits& format, PlannedTensor& planned) {
  const std::optional<DType> dtype = dtype_from_name(upper_case(format.name));
  if (tensor.dtype == dtype) return plan_copy(tensor, planned);
  planned.action = TensorAction::kEncode;
  planned.traits = &format;
  planned.format = format.name;
  planned.in_padded = tensor.in();
  planned.planes = {{tensor.name, *dtype, tensor.shape}};
}

const FormatTraits& plain_format(const TensorEntry& tensor, PlanCounts& counts) {
  const FormatTraits* format = find_format(tensor.storage);
  if (format != nullptr && !format->has_scales) return *format;
  ++counts.dequantised;
  return need_format("f16");
}

}  // namespace tq
