// compressed-tensors: what llm-compressor writes as "pack-quantized", 3, 4 or 8 bits with or
// without zero points, for vLLM and others (docs/exports.md).
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "convert/layouts/int_export.h"

namespace tq {
namespace {

constexpr const char* kFormat = "pack-quantized";
constexpr int kWordBits = 32;

void check(const PlanOptions& options, ClassFormats& /*formats*/) {
  refuse_formats(options);
  const int bits = options.ints.bits.value_or(4);
  if (bits != 3 && bits != 4 && bits != 8) {
    fail(ErrorCode::kInvalidArgument, "--bits must be 3, 4 or 8, not {}", bits);
  }
}

// What the engine will compute in: scales have that type.
IntScale scale_type(const Json& config) {
  for (const char* part : {"", "text_config"}) {
    const Json inner = *part == 0 ? config : config.value(part, Json::object());
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (inner.is_object() && inner.value(key, Json()) == "float16") return IntScale::kF16;
    }
  }
  return IntScale::kBf16;
}

std::shared_ptr<const IntExport> survey(const Checkpoint& source, const PlanOptions& options,
                                        std::vector<std::string>& notes) {
  const IntScheme scheme{.bits = options.ints.bits.value_or(4),
                         .symmetric = options.ints.symmetric.value_or(true),
                         .scale = scale_type(source.config())};
  // Zero points of a column are a stream of bits in whole words.
  const int together = scheme.symmetric ? 1 : kWordBits / std::gcd(kWordBits, scheme.bits);
  const IntFileRules rules{"compressed-tensors", together, /*one_group=*/false};
  auto ints = std::make_shared<IntExport>(survey_ints(source, options, scheme, rules, notes));
  if (scheme.bits == 3) {
    notes.emplace_back(
        "3 bits are packed without gaps, as compressed-tensors 0.20 does; engines with older "
        "versions of it cannot read them");
  }
  const bool experts = std::any_of(ints->groups.begin(), ints->groups.end(), [](const auto& kind) {
    return kind.first.starts_with("experts.");
  });
  if (experts && (scheme.bits == 3 || !scheme.symmetric)) {
    notes.emplace_back(
        "vLLM's kernels for experts want 4 or 8 bits without zero points: it may refuse this "
        "model");
  }
  return ints;
}

void plan(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  if (!plan_ints(context, tensor, planned)) return;
  const IntScheme& ints = planned.ints;
  const int64_t groups = tensor.in() / ints.group;
  const DType scale = ints.scale == IntScale::kF16 ? DType::kF16 : DType::kBF16;
  planned.planes = {{planned.name + "_packed",
                     DType::kI32,
                     {planned.n_rows, tensor.in() * ints.bits / kWordBits}},
                    {planned.name + "_scale", scale, {planned.n_rows, groups}},
                    {planned.name + "_shape", DType::kI64, {2}}};
  if (ints.symmetric) return;
  planned.planes.push_back({planned.name + "_zero_point",
                            DType::kI32,
                            {planned.n_rows * ints.bits / kWordBits, groups}});
}

// A pattern for the modules of a kind, whatever an engine puts before it.
std::string target(const std::string& kind) {
  std::string pattern = "re:.*[.]";
  for (const char c : kind) {
    if (c == '.') {
      pattern += "[.]";
    } else if (c == '#') {
      pattern += "[0-9]+";
    } else {
      pattern += c;
    }
  }
  return pattern + "$";
}

Json config(const ConvertPlan& plan) {
  const IntExport& ints = *plan.ints;
  Json groups = Json::object();
  const std::vector<int> used = ints.used_groups();
  for (const int group : used) {
    Json targets = Json::array();
    // "Linear" also means fused linears, before the patterns of their parts are looked at: so only
    // where all linears are alike.
    if (used.size() == 1) {
      targets.push_back("Linear");
    } else {
      for (const auto& [kind, size] : ints.groups) {
        if (size == group) targets.push_back(target(kind));
      }
    }
    groups[fmt::format("group_{}", groups.size())] = {{"targets", std::move(targets)},
                                                      {"weights",
                                                       {{"num_bits", ints.scheme.bits},
                                                        {"type", "int"},
                                                        {"symmetric", ints.scheme.symmetric},
                                                        {"strategy", "group"},
                                                        {"group_size", group},
                                                        {"dynamic", false}}},
                                                      {"input_activations", nullptr},
                                                      {"output_activations", nullptr},
                                                      {"format", kFormat}};
  }
  const KeptModules kept = kept_modules(plan);
  std::vector<std::string> ignore = kept.names;
  for (const std::string& tower : kept.towers) ignore.push_back("re:.*" + tower + ".*");
  return {{"quant_method", "compressed-tensors"},
          {"format", kFormat},
          {"quantization_status", "compressed"},
          {"config_groups", std::move(groups)},
          {"ignore", ignore}};
}

}  // namespace

const Layout kCompressedTensorsLayout = {.name = "compressed-tensors",
                                         .purpose = "llm-compressor's, for vLLM and others",
                                         .only_effort = std::nullopt,
                                         .check = check,
                                         .survey = survey,
                                         .parts = int_parts,
                                         .plan = plan,
                                         .config = config,
                                         .describe = describe_ints};

}  // namespace tq
