// turboquant-vllm: tq3_native, as turboquant-plus-vllm writes it (docs/formats.md).
#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/ascii.h"
#include "base/error.h"
#include "base/math.h"
#include "convert/layouts/layout.h"
#include "format/hadamard.h"

namespace tq {
namespace {

constexpr int kGroup = 128;

bool contains_any(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [name](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  });
}

constexpr std::array<std::string_view, 3> kPacked = {"tq2", "tq3", "tq4"};

bool packs_format(std::string_view name) {
  return std::find(kPacked.begin(), kPacked.end(), name) != kPacked.end();
}

void check(const PlanOptions& options, ClassFormats& formats) {
  if (!options.rules.empty() || !options.preset.empty() || options.formats) {
    fail(ErrorCode::kInvalidArgument,
         "--layout turboquant-vllm packs all tensors alike: --rules, --preset, --plan, --fit and "
         "--bpw cannot be used with it");
  }
  if (options.format == "auto") {
    formats.mlp = kPacked[static_cast<size_t>(std::clamp(need_format(formats.mlp).bits, 2, 4) - 2)];
  }
  if (!packs_format(formats.mlp)) {
    fail(ErrorCode::kInvalidArgument,
         "--layout turboquant-vllm holds 2, 3 or 4 bits: use --format tq2, tq3 or tq4, not {}",
         formats.mlp);
  }
}

// The reference writer's choice: 2-D "*.weight" and 3-D expert tensors, but no name with head,
// embed or norm in it, and one of the last two dimensions at least a group long.
bool packs(const TensorEntry& tensor) {
  if (tensor.n_rows() == 0) return false;
  const std::string name = lower_case(tensor.name);
  const size_t rank = tensor.shape.size();
  const bool weight = (rank == 2 && tensor.name.ends_with(".weight")) ||
                      (rank == 3 && contains_any(name, {"expert"}));
  return weight && !contains_any(name, {"head", "embed", "norm"}) &&
         std::max(tensor.shape[rank - 1], tensor.shape[rank - 2]) >= kGroup;
}

void plan(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  if (!tensor.is_float()) return plan_copy(tensor, planned);
  if (!packs(tensor)) return plan_plain(tensor, need_format("f16"), planned);
  const FormatTraits& format = need_format(context.formats.classes.mlp);
  planned.action = TensorAction::kEncode;
  planned.traits = &format;
  planned.format = format.name;
  planned.group = kGroup;
  planned.in_padded = round_up(tensor.in(), kGroup);
  const int64_t groups = planned.in_padded / kGroup;
  const int64_t rows = tensor.n_rows();
  planned.planes = {
      {tensor.name + ".tq_packed", DType::kU8, {rows * groups, format.code_row_bytes(kGroup)}},
      {tensor.name + ".tq_norms", DType::kF32, {rows, groups}}};
}

std::string describe(const Conversion& conversion) {
  int64_t n_packed = 0;
  Json in_dims = Json::object();
  for (const PlannedTensor& tensor : conversion.plan.tensors) {
    if (!tensor.compressed()) continue;
    const TensorEntry& entry = conversion.source.tensors()[static_cast<size_t>(tensor.source)];
    ++n_packed;
    in_dims[entry.name] = entry.in();
  }
  const Json json = {
      {"format", "tq3_native"},  // whatever the bits: the reference's name for the layout
      {"bits", find_format(conversion.plan.format)->bits},
      {"group_size", kGroup},
      {"quantizer_seed", kRotationSeed},
      {"compressed_layers", n_packed},
      {"original_model", base_name(conversion.source.path())},
      {"orig_in_dims", std::move(in_dims)}};
  return json.dump(2) + "\n";
}

}  // namespace

const Layout kTurboquantVllmLayout = {.name = "turboquant-vllm",
                                      .purpose = "tq3_native of turboquant-plus-vllm",
                                      .only_effort = Effort::kReference,
                                      .check = check,
                                      .plan = plan,
                                      .config = nullptr,
                                      .describe = describe};

}  // namespace tq
