// native: ours (docs/formats.md). A format for each class of tensors, or as rules say.
#include "base/error.h"
#include "convert/layouts/layout.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

void check(const PlanOptions& /*options*/, ClassFormats& /*formats*/) {}

std::optional<WeightView> packed_view(const Checkpoint& source, const TensorEntry& tensor) {
  if (tensor.dtype) return std::nullopt;
  auto stored = source.view(tensor);
  if (stored && !stored->traits().has_scales) stored.reset();
  return stored;
}

// Codes and gains. What has the format already is copied rather than encoded again.
void plan_packed(const TensorEntry& tensor, const FormatTraits& format,
                 const std::optional<WeightView>& stored, PlannedTensor& planned) {
  const bool copied = stored && &stored->traits() == &format;
  planned.action = copied ? TensorAction::kCopyPlanes : TensorAction::kEncode;
  planned.traits = &format;
  planned.format = format.name;
  const int64_t rows = tensor.n_rows();
  const WeightView shape = copied ? *stored : weight_shape(format, rows, tensor.in());
  planned.group = shape.group;
  planned.in_padded = shape.in_padded;
  planned.planes = {
      {tensor.name + kPackedSuffix, DType::kU8, {rows, format.code_row_bytes(planned.in_padded)}},
      {tensor.name + kScalesSuffix, DType::kF16, {rows, planned.in_padded / planned.group}}};
}

// Null: the tensor keeps its type.
const FormatTraits* default_format(const FormatPlan& formats, TensorRole role, int64_t layer) {
  const FormatClass* of = format_class_of(role);
  const std::string_view name = of == nullptr ? kKeep : formats.format(of->member, layer);
  if (name == kKeep) return nullptr;
  const FormatTraits& format = need_format(name);
  const bool wide = role == TensorRole::kPerLayerTable ||  // its rows are added in every layer
                    role == TensorRole::kPerLayerProjection ||
                    role == TensorRole::kLatentExpansion;  // all heads hang on it
  return wide ? &at_least_8_bits(format) : &format;
}

void plan(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  const PlanOptions& options = context.options;
  const Rule* rule = first_match(options.rules, tensor.name);
  if (rule != nullptr) ++context.counts.rule_uses[static_cast<size_t>(rule - options.rules.data())];
  const FormatTraits* format = nullptr;  // null keeps
  if (rule == nullptr) {
    const FormatTraits* wanted =
        default_format(context.formats, planned.role, layer_of(tensor.name));
    if (wanted != nullptr && is_compressible(tensor)) format = wanted;
  } else if (rule->format != kKeep) {
    format = &need_format(rule->format);
    const bool possible = format->has_scales ? is_compressible(tensor) : tensor.is_float();
    if (!possible) {
      format = nullptr;
      ++context.counts.ineligible;
    }
  }
  if (format == nullptr && tensor.dtype) return plan_copy(tensor, planned);
  const std::optional<WeightView> stored = packed_view(context.source, tensor);
  if (format == nullptr) {
    format = stored ? &stored->traits() : &plain_format(tensor, context.counts);
  }
  if (!format->has_scales) return plan_plain(tensor, *format, planned);
  plan_packed(tensor, *format, stored, planned);
}

Json config(const ConvertPlan& plan) {
  return {{"quant_method", "turboquant"}, {"version", kNativeVersion}, {"format", plan.format}};
}

std::string describe(const Conversion& conversion) {
  NativeManifest manifest = base_manifest(conversion);
  for (const PlannedTensor& tensor : conversion.plan.tensors) {
    if (!tensor.compressed()) continue;
    const TensorEntry& entry = conversion.source.tensors()[static_cast<size_t>(tensor.source)];
    manifest.tensors.push_back(
        {entry.name, tensor.format, entry.shape, tensor.group, tensor.in_padded});
  }
  return with_own_hash(manifest.to_json().dump(2) + "\n");
}

}  // namespace

const Layout kNativeLayout = {.name = "native",
                              .purpose = "ours",
                              .only_effort = std::nullopt,
                              .check = check,
                              .plan = plan,
                              .config = config,
                              .describe = describe};

}  // namespace tq
