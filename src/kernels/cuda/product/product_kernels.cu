// The kernels of a product, in the order in which they are tried, and what finds one: for a call,
// and for `tq devices --kernels`.
#include <algorithm>
#include <string_view>

#include "base/math.h"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/inputs/prepare.h"
#include "kernels/cuda/kernel_list.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

// Tokens of a matrix from which kAuto takes 16-bit tensor cores; measured (docs/gpu-kernels.md).
constexpr int64_t kBlasCodes = 256;
constexpr int64_t kBlasAlways = 1024;
constexpr int64_t kBlasPlain = 4;
constexpr int64_t kTensorPlain = 8;
constexpr int64_t kTensorExperts = 2;
constexpr int64_t kSplitTokens = 256;
constexpr int64_t kExactTokens = 16;
// Experts' codes whose rows are short, where the fused kernel's sums of groups take longest.
constexpr int64_t kTensorCodes = 32;
// Of smaller matrices plain loops are as good, and routers choose experts by fp32 activations.
constexpr int64_t kLeastRows = 512;
constexpr int64_t kLeastWeights = int64_t{1} << 18;

using Options = ProductOptions;

bool is_large(const MatmulParams& p) {
  return p.weight.rows * p.weight.in * p.work.n >= kLeastWeights &&
         (p.work.kind != WorkKind::kDense || p.weight.rows >= kLeastRows);
}
bool has_fused(const MatmulParams& p) { return fused_supports(p.weight, p.x); }
// Whether the blocks of the fused kernel for many tokens fill the GPU, once or twice.
bool fills_fused(const MatmulParams& p) {
  constexpr int64_t kBlock = 128;  // rows, and tokens
  return has_fused(p) && has_wide_kernels(p.weight) && tokens_each(p) < kBlasAlways &&
         4 * ceil_div(p.weight.rows, kBlock) * ceil_div(tokens_each(p), kBlock) >=
             3 * int64_t{imagined_device().n_sms};
}

struct ProductKernel {
  const char* name;
  Tier tier;         // kAuto: of every one
  const char* when;  // what it depends on besides format, group and tokens
  bool (*supports)(const MatmulParams& p, const Options& options);
  bool (*suits)(const MatmulParams& p, const Options& options);  // kAuto
  // False, and nothing was done, if it turns out not to support the call.
  bool (*run)(const MatmulParams& p, const Options& options, cudaStream_t stream);
};

constexpr ProductKernel kKernels[] = {
    {"cublaslt", Tier::kDequant,
     "large matrices without a bias, below 1,024 tokens where fused blocks do not fill the GPU; "
     "not with --exact or --batch-invariant; needs libcublasLt",
     [](const MatmulParams& p, const Options& o) {
       return o.scratch != nullptr && o.cublaslt && !o.batch_invariant && cublaslt_supports(p);
     },
     [](const MatmulParams& p, const Options& o) {
       return !o.exact && is_large(p) && !fills_fused(p) &&
              tokens_each(p) >= (is_rotated(p.weight) ? kBlasCodes : kBlasPlain) &&
              p.weight.traits().name != "f32";
     },
     [](const MatmulParams& p, const Options& o, cudaStream_t stream) {
       return matmul_cublaslt(p, o.scratch, stream);
     }},
    {"tensor16", Tier::kDequant,
     "not with --exact; where others serve too: large matrices, not with --batch-invariant",
     [](const MatmulParams& p, const Options& o) {
       return o.scratch != nullptr && tensor16_supports(p);
     },
     [](const MatmulParams& p, const Options& o) {
       if (o.exact) return false;
       const bool codes = is_rotated(p.weight);
       if (codes && !has_fused(p)) return true;  // any number of tokens
       if (o.batch_invariant || !is_large(p)) return false;
       if (codes) {
         return p.work.kind == WorkKind::kExperts &&
                (suits_wide16(p) ||
                 (p.weight.in_padded <= kShortRow && tokens_each(p) >= kTensorCodes));
       }
       return tokens_each(p) >= (p.work.kind == WorkKind::kDense ? kTensorPlain : kTensorExperts);
     },
     [](const MatmulParams& p, const Options& o, cudaStream_t stream) {
       matmul_tensor16(p, o.scratch, o.batch_invariant, stream);
       return true;
     }},
    {"fused", Tier::kFused, "not with --exact",
     [](const MatmulParams& p, const Options&) { return has_fused(p); },
     [](const MatmulParams&, const Options&) { return true; },
     [](const MatmulParams& p, const Options&, cudaStream_t stream) {
       matmul_fused(p, stream);
       return true;
     }},
    {"split", Tier::kAuto, "not with --batch-invariant",
     [](const MatmulParams& p, const Options&) { return split_supports(p); },
     [](const MatmulParams& p, const Options& o) {
       return !o.batch_invariant && o.tier != Tier::kReference && tokens_each(p) >= kSplitTokens;
     },
     [](const MatmulParams& p, const Options&, cudaStream_t stream) {
       matmul_split(p, stream);
       return true;
     }},
    {"tile32", Tier::kAuto, "only with --exact, not with --batch-invariant",
     [](const MatmulParams& p, const Options&) { return tile32_supports(p); },
     [](const MatmulParams& p, const Options& o) {
       return o.exact && !o.batch_invariant && o.tier == Tier::kAuto &&
              tokens_each(p) >= kExactTokens;
     },
     [](const MatmulParams& p, const Options&, cudaStream_t stream) {
       matmul_tile32(p, stream);
       return true;
     }},
    {"plain", Tier::kAuto, "",
     [](const MatmulParams& p, const Options&) { return !is_rotated(p.weight); },
     [](const MatmulParams&, const Options&) { return true; },
     [](const MatmulParams& p, const Options&, cudaStream_t stream) {
       matmul_plain(p, stream);
       return true;
     }},
    {"reference", Tier::kReference, "",
     [](const MatmulParams& p, const Options&) { return is_rotated(p.weight); },
     [](const MatmulParams&, const Options&) { return true; },
     [](const MatmulParams& p, const Options&, cudaStream_t stream) {
       matmul_reference(p, stream);
       return true;
     }},
};

bool takes(const ProductKernel& kernel, const MatmulParams& p, const Options& o) {
  if (!kernel.supports(p, o)) return false;
  return o.tier == Tier::kAuto || kernel.tier == Tier::kAuto ? kernel.suits(p, o)
                                                             : kernel.tier == o.tier;
}

const ProductKernel* choose(const MatmulParams& p, const Options& o) {
  for (const ProductKernel& kernel : kKernels) {
    if (takes(kernel, p, o)) return &kernel;
  }
  return nullptr;
}

void dispatch(const MatmulParams& p, const Options& o, cudaStream_t stream) {
  MatmulParams prepared = p;
  for (const ProductKernel& kernel : kKernels) {
    if (!takes(kernel, p, o)) continue;
    // Rows that were left to the product: the fused kernel sees to them itself.
    if (prepared.x.source != nullptr && kernel.tier != Tier::kFused) {
      prepared.x = prepare_now(p.x, stream);
    }
    if (kernel.run(prepared, o, stream)) return;
  }
  fail_call(o.tier == Tier::kFused ? "no fused kernel for this product"
                                   : "no kernel of the tier for this product");
}

// An address for what is asked about and never run.
alignas(256) uint8_t nowhere[256];

// A product of `tokens` tokens (of each matrix) that nothing but its weight and options limits.
MatmulParams imagine(WorkKind kind, const WeightView& weight, int64_t tokens) {
  constexpr int64_t kMatrices = 64;
  const bool dense = kind == WorkKind::kDense;
  Activation x;
  x.form = weight.traits().input;
  x.tokens = dense ? tokens : tokens * kMatrices;
  x.in = weight.in;
  x.in_padded = weight.in_padded;
  x.group = weight.group;
  if (is_rotated(weight)) {
    x.q8 = reinterpret_cast<const int8_t*>(nowhere);
    x.q8_scale = reinterpret_cast<const float*>(nowhere);
  } else {
    x.f32 = reinterpret_cast<const float*>(nowhere);
  }
  auto* out = reinterpret_cast<float*>(nowhere);
  if (dense) return describe(MatmulArgs{weight, x, nullptr, false, out, {}});
  const MatrixStack stack{weight, kMatrices};
  if (kind == WorkKind::kHeads) return describe(HeadMatmulArgs{stack, x, out});
  return describe(ExpertMatmulArgs{stack, x, nullptr, nullptr, out, tokens * kMatrices});
}

constexpr WorkKind kKinds[] = {WorkKind::kDense, WorkKind::kExperts, WorkKind::kHeads};
constexpr int64_t kMostTokens = 4096;

const char* name_of(WorkKind kind) {
  return kind == WorkKind::kDense     ? "matmul"
         : kind == WorkKind::kExperts ? "matmul_experts"
                                      : "matmul_heads";
}
const char* name_of(Tier tier) {
  switch (tier) {
    case Tier::kFused:
      return "fused";
    case Tier::kDequant:
      return "dequant";
    case Tier::kReference:
      return "reference";
    default:
      return "any";
  }
}

// Adds `use` for every range of numbers of tokens that takes() is true for; once if there is none.
template <typename Takes>
void add_ranges(KernelUse use, Takes takes, std::vector<KernelUse>& uses) {
  bool any = false;
  for (int64_t tokens = 1; tokens <= kMostTokens; ++tokens) {
    if (!takes(tokens)) continue;
    use.from = tokens;
    while (tokens < kMostTokens && takes(tokens + 1)) ++tokens;
    use.to = tokens == kMostTokens ? -1 : tokens;
    uses.push_back(use);
    any = true;
  }
  if (!any) uses.push_back(use);
}

void list_kernels(const char* op, WorkKind kind, const WeightView& weight,
                  std::vector<KernelUse>& uses) {
  Options options;
  options.scratch = nowhere;
  options.cublaslt = cublaslt_built();
  for (const ProductKernel& kernel : kKernels) {
    if (!kernel.supports(imagine(kind, weight, 1), options)) continue;
    const KernelUse use{op,
                        std::string(weight.traits().name),
                        weight.group,
                        name_of(kernel.tier),
                        kernel.name,
                        kernel.when,
                        0,
                        0};
    const auto takes = [&](int64_t tokens) {
      return choose(imagine(kind, weight, tokens), options) == &kernel;
    };
    add_ranges(use, takes, uses);
  }
}

// Operators made of two products or more, which one launch runs where each would be fused.
struct CompoundOp {
  const char* name;
  WorkKind kind;
  const char* kernel;
  const char* other;  // what runs where products are not fused
};
constexpr CompoundOp kCompounds[] = {
    {"matmul_shared", WorkKind::kDense, "fused, several weights", "part by part"},
    {"matmul_gated", WorkKind::kDense, "fused, gate and up", "part by part"},
    {"matmul_gated_experts", WorkKind::kExperts, "fused, gate and up", "tensor16, gate and up"}};

void list_compound(const CompoundOp& op, const WeightView& weight, std::vector<KernelUse>& uses) {
  if (!has_fused(imagine(op.kind, weight, 1))) return;
  Options options;
  options.scratch = nowhere;
  options.cublaslt = cublaslt_built();
  KernelUse use{op.name,
                std::string(weight.traits().name),
                weight.group,
                name_of(Tier::kFused),
                op.kernel,
                "not with --exact",
                0,
                0};
  const auto fused = [&](int64_t tokens) {
    return choose(imagine(op.kind, weight, tokens), options)->tier == Tier::kFused;
  };
  add_ranges(use, fused, uses);
  use.tier = name_of(Tier::kAuto);
  use.kernel = op.other;
  use.limits = "";
  add_ranges(
      use, [&](int64_t tokens) { return !fused(tokens); }, uses);
}

// The product of gate; of a dense layer, which has no `begin`, as of one head.
MatmulParams describe_gate(const GatedExpertsArgs& args) {
  MatmulParams p =
      describe(ExpertMatmulArgs{args.gate, args.x, args.begin, args.x_rows, args.out, args.pairs});
  if (args.begin == nullptr) {
    p.work.kind = WorkKind::kHeads;
    p.work.n = 1;
    p.work.tokens = args.pairs;
  }
  return p;
}

// Whether gate, up and their activation are one launch of 16-bit tensor cores.
bool takes_wide_gated(const MatmulParams& gate, const Options& o) {
  return o.tier == Tier::kAuto && o.scratch != nullptr && !o.exact && !o.batch_invariant &&
         gate.work.kind == WorkKind::kExperts && is_large(gate) && suits_wide16(gate);
}

}  // namespace

void matmul(const MatmulArgs& args, const ProductOptions& options, cudaStream_t stream) {
  dispatch(describe(args), options, stream);
}

void matmul_experts(const ExpertMatmulArgs& args, const ProductOptions& options,
                    cudaStream_t stream) {
  if (args.pairs > 0) dispatch(describe(args), options, stream);
}

void matmul_heads(const HeadMatmulArgs& args, const ProductOptions& options, cudaStream_t stream) {
  dispatch(describe(args), options, stream);
}

bool takes_fused(const MatmulArgs& args, const ProductOptions& options) {
  const ProductKernel* kernel = choose(describe(args), options);
  return kernel != nullptr && kernel->tier == Tier::kFused;
}

bool takes_shared(std::span<const MatmulArgs> products, const ProductOptions& options) {
  if (!supports_shared(products)) return false;
  MatmulParams all = describe(products[0]);  // as if it were one matrix
  for (const MatmulArgs& other : products.subspan(1)) all.weight.rows += other.weight.rows;
  const ProductKernel* kernel = choose(all, options);
  return kernel != nullptr && kernel->tier == Tier::kFused;
}

bool takes_gated(const GatedExpertsArgs& args, const ProductOptions& options) {
  if (!supports_gated(args)) return false;
  const MatmulParams gate = describe_gate(args);
  if (takes_wide_gated(gate, options)) return true;
  const ProductKernel* kernel = choose(gate, options);
  return kernel != nullptr && kernel->tier == Tier::kFused;
}

void matmul_gated_experts(const GatedExpertsArgs& args, const ProductOptions& options,
                          cudaStream_t stream) {
  if (!supports_gated(args)) fail_call("gate and up of different shapes in one product");
  if (args.pairs == 0) return;
  const MatmulParams gate = describe_gate(args);
  if (takes_wide_gated(gate, options)) {
    return matmul_gated_wide16(gate, args, options.scratch, stream);
  }
  matmul_gated_fused(gate, args, stream);
}

int wanted_scratches(const WeightView& weight, const ProductOptions& options) {
  Options with = options, without = options;
  with.scratch = nowhere;
  without.scratch = nullptr;
  int wanted = 0;
  for (const WorkKind kind : kKinds) {
    const MatmulParams p = imagine(kind, weight, kMostTokens);
    const ProductKernel* kernel = choose(p, with);
    if (kernel == nullptr || kernel->tier != Tier::kDequant) continue;
    // Experts and heads are not run beside others.
    const ProductKernel* instead = choose(p, without);
    const bool beside =
        kind == WorkKind::kDense && (instead == nullptr || instead->tier != Tier::kFused);
    wanted = std::max(wanted, beside ? 2 : 1);
  }
  return wanted;
}

std::vector<KernelUse> list_product_kernels() {
  constexpr int64_t kLong = 4096, kShort = 768;
  const auto weights_of = [](int64_t in, bool codes_only) {
    std::vector<WeightView> weights;
    for (const FormatTraits& format : all_formats()) {
      if (!has_kernels(format.id) || (codes_only && !format.has_scales)) continue;
      WeightView weight;
      weight.format = format.id;
      weight.rows = kLong;
      weight.in = weight.in_padded = in;
      for (const int group : {32, 64, 128, 256}) {
        weight.group = format.has_scales ? group : 0;
        weights.push_back(weight);
        if (!format.has_scales) break;
      }
    }
    return weights;
  };
  const std::vector<WeightView> weights = weights_of(kLong, false);
  std::vector<KernelUse> uses;
  for (const WorkKind kind : kKinds) {
    for (const WeightView& weight : weights) list_kernels(name_of(kind), kind, weight, uses);
    if (kind != WorkKind::kExperts) continue;
    for (const WeightView& weight : weights_of(kShort, true)) {
      list_kernels("matmul_experts, short rows", kind, weight, uses);
    }
  }
  for (const CompoundOp& op : kCompounds) {
    for (const WeightView& weight : weights) list_compound(op, weight, uses);
  }
  return uses;
}

}  // namespace tq::cuda
