// plain: a Hugging Face folder in which every tensor is numbers of its own type.
#include "base/error.h"
#include "convert/layouts/layout.h"

namespace tq {
namespace {

void check(const PlanOptions& options, ClassFormats& /*formats*/) {
  if (options.format == "auto" && options.preset.empty() && !options.formats &&
      options.rules.empty()) {
    return;
  }
  fail(ErrorCode::kInvalidArgument,
       "--layout plain compresses nothing: --format, --preset, --plan, --rules, --fit and --bpw "
       "cannot be used with it");
}

void plan(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  if (tensor.dtype) return plan_copy(tensor, planned);
  plan_plain(tensor, plain_format(tensor, context.counts), planned);
}

}  // namespace

const Layout kPlainLayout = {.name = "plain",
                             .purpose = "Hugging Face, nothing compressed",
                             .only_effort = std::nullopt,
                             .check = check,
                             .plan = plan,
                             .config = nullptr,
                             .describe = nullptr};

}  // namespace tq
