// awq: AutoAWQ's "gemm" files of 4 bits with zero points, for vLLM, SGLang and others
// (docs/exports.md). The scales are searched here; AWQ's search over activations is not done.
#include "base/error.h"
#include "convert/layouts/int_export.h"

namespace tq {
namespace {

constexpr int kBits = 4;
constexpr int kCodesPerWord = 8;

void check(const PlanOptions& options, ClassFormats& /*formats*/) {
  refuse_formats(options);
  if (options.ints.bits.value_or(kBits) != kBits || options.ints.symmetric.value_or(false)) {
    fail(ErrorCode::kInvalidArgument,
         "--layout awq has 4 bits and zero points; other ones are in --layout compressed-tensors");
  }
}

std::shared_ptr<const IntExport> survey(const Checkpoint& source, const PlanOptions& options,
                                        std::vector<std::string>& notes) {
  const IntScheme scheme{.bits = kBits, .symmetric = false, .scale = IntScale::kF16};
  const IntFileRules rules{"awq", kCodesPerWord, /*one_group=*/true};
  return std::make_shared<IntExport>(survey_ints(source, options, scheme, rules, notes));
}

void plan(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  if (!plan_ints(context, tensor, planned)) return;
  planned.int_order = IntOrder::kAwq;
  const std::string module = planned.name.substr(0, planned.name.rfind('.'));
  const int64_t groups = tensor.in() / planned.group;
  const int64_t words = planned.n_rows / kCodesPerWord;
  planned.planes = {{module + ".qweight", DType::kI32, {tensor.in(), words}},
                    {module + ".qzeros", DType::kI32, {groups, words}},
                    {module + ".scales", DType::kF16, {groups, planned.n_rows}}};
}

// Engines look for these names anywhere in a module's: one must not be the beginning of another.
void refuse_confusion(const ConvertPlan& plan, const std::vector<std::string>& kept) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.action != TensorAction::kIntegers) continue;
    for (const std::string& name : kept) {
      if (tensor.name.find(name) == std::string::npos) continue;
      fail(ErrorCode::kUnsupported,
           "--layout awq: {} stays at 16 bits, and engines would take {} for it; --layout "
           "compressed-tensors can hold this model",
           name, tensor.name);
    }
  }
}

Json config(const ConvertPlan& plan) {
  const KeptModules modules = kept_modules(plan);
  std::vector<std::string> kept = modules.names;
  kept.insert(kept.end(), modules.towers.begin(), modules.towers.end());
  refuse_confusion(plan, kept);
  return {{"quant_method", "awq"}, {"bits", kBits},
          {"zero_point", true},    {"group_size", plan.ints->scheme.group},
          {"version", "gemm"},     {"modules_to_not_convert", kept}};
}

}  // namespace

const Layout kAwqLayout = {.name = "awq",
                           .purpose = "AutoAWQ's, 4 bits for vLLM and others",
                           .only_effort = std::nullopt,
                           .check = check,
                           .survey = survey,
                           .parts = int_parts,
                           .plan = plan,
                           .config = config,
                           .describe = describe_ints};

}  // namespace tq
