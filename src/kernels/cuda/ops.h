// The CUDA kernels' launchers: one function an operator. They take the operators' arguments
// (kernels/ops/) with device pointers, enqueue kernels on a stream and return: no synchronisation,
// no allocation, no reads of device memory, so that everything can be captured in a graph. Grids
// are sized by upper bounds that the host knows. Failures to launch throw Error{kDevice}. No state
// but lookups of device properties; thread safe.
//
// Weights of rotated formats must have been re-laid (relayout, tile_layout.h): `codes` is then the
// matrix in that layout and `gains` is not read. Code planes must be 16-byte aligned.
//
// A result's bits do not depend on the other tokens of the batch, but that kAuto may take another
// kernel for more tokens, and cuBLASLt.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/experts.h"
#include "kernels/ops/kv.h"
#include "kernels/ops/list.h"
#include "kernels/ops/norm.h"
#include "kernels/ops/product.h"
#include "kernels/ops/recurrent.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rows.h"

namespace tq::cuda {

// Which kernels multiply. kAuto takes for every call the first of a list that suits it
// (product_kernels.cu).
enum class Tier : uint8_t {
  kAuto,
  kFused,      // codes to tensor cores; rotated formats, int8 activations, groups 64 and 128
  kDequant,    // 16-bit numbers on tensor cores, by cuBLASLt or kernels of our own; needs scratch
  kReference,  // plain loops; everything
};

// Scratch of a stream's products.
constexpr size_t kProductScratch = size_t{48} << 20;

struct ProductOptions {
  // NOLINTNEXTLINE(google-explicit-constructor): a tier is all that most calls say
  ProductOptions(Tier which = Tier::kAuto) : tier(which) {}
  Tier tier;
  bool exact = false;            // kAuto: activations stay fp32
  bool batch_invariant = false;  // what is chosen does not depend on the number of tokens
  bool cublaslt = false;         // it may be used: cublaslt_problem() is null
  uint8_t* scratch = nullptr;    // kProductScratch bytes, 256-byte aligned; null: no kDequant
};

// What the kernels were compiled for that the current GPU runs, and what they find there.
struct GpuTarget {
  int compute;              // compute capability, 10 * major + minor
  bool sm90a;               // with what only sm_90a has
  bool compiled_by_driver;  // when they were first loaded, for want of code for this very GPU
  int max_shared_bytes;     // of a block
};
GpuTarget gpu_target();

// Whether cuBLASLt is part of the build, and why it cannot be used, or null. Loads it.
bool cublaslt_built();
const char* cublaslt_problem();
// For how many of a backend's two streams products with the weight want scratch: 0 where they do
// without, 1 where there is a fused kernel too, which serves a branch that runs beside.
int wanted_scratches(const WeightView& weight, const ProductOptions& options);

// The layout of a native weight matrix (or stack) on the GPU. For plain formats a copy.
int64_t relayout_bytes(const WeightView& native);
// `native` has device pointers; `out` is 16-byte aligned. Matrices of a stack follow one another,
// relayout_bytes(one) apart.
void relayout(const WeightView& native, uint8_t* out, cudaStream_t stream);

// What prepare() needs in `storage` (16-byte aligned).
size_t activation_bytes(int64_t tokens, int64_t in_padded, int group, InputForm form, bool exact);
// exact: rotated fp32 activations instead of int8 ones.
Activation prepare(const PrepareArgs& args, bool exact, cudaStream_t stream);
// The same of rows that are `stride` elements apart: parts of longer ones.
Activation prepare_strided(const PrepareArgs& args, int64_t stride, bool exact,
                           cudaStream_t stream);
// The same, left to the product that reads it: for few short rows, such as heads, which every block
// of that product prepares for itself. args.x must stay as it is until then.
bool supports_later(const PrepareArgs& args);
Activation prepare_later(const PrepareArgs& args, int64_t stride);
// prepare() of the normed rows in one pass; args.x and args.tokens are the norm's. norm.out may be
// null: the normed rows are not stored then.
Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args, cudaStream_t stream);
// One pass over each row, without the scratch of args.add. Inputs that are prepared must be alike.
// An input's rows may be null where it is prepared: the normed rows are not stored then.
bool supports_next_inputs(const NextInputsArgs& args);
void next_inputs(const NextInputsArgs& args, cudaStream_t stream);

// Pages of the KV cache to and from pinned host memory, which the kernel reads and writes itself:
// a launch a page, whatever the number of planes. moves_pages(): whether all is in pieces of 16
// bytes.
bool moves_pages(std::span<const PagePlane> planes, const std::byte* host);
void save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host,
               cudaStream_t stream);
void load_page(std::span<const PagePlane> planes, int32_t page, const std::byte* host,
               cudaStream_t stream);

// All that need nothing but their arguments.
#define TQ_LAUNCHER(name, Args) void name(const Args& args, cudaStream_t stream);
TQ_SIMPLE_OPERATORS(TQ_LAUNCHER)
#undef TQ_LAUNCHER

void matmul(const MatmulArgs& args, const ProductOptions& options, cudaStream_t stream);
// args.pairs must be given: begin is not read on the host.
void matmul_experts(const ExpertMatmulArgs& args, const ProductOptions& options,
                    cudaStream_t stream);
void matmul_heads(const HeadMatmulArgs& args, const ProductOptions& options, cudaStream_t stream);
// Whether such a product takes the fused kernel, so that those that fuse more may be used.
bool takes_fused(const MatmulArgs& args, const ProductOptions& options);

// Several weights of one format, group and width times one activation, in one launch: q, k and v.
constexpr int kMaxShared = 4;
bool supports_shared(std::span<const MatmulArgs> products);
// Whether the options leave them to the fused kernel, rather than one by one.
bool takes_shared(std::span<const MatmulArgs> products, const ProductOptions& options);
void matmul_shared(std::span<const MatmulArgs> products, cudaStream_t stream);

// Both products of every expert and the activation in one launch, without args.scratch. A dense
// layer is a stack of one with begin null and `pairs` tokens.
bool supports_gated(const GatedExpertsArgs& args);
// Whether the options leave it to a kernel that does it in one, rather than part by part.
bool takes_gated(const GatedExpertsArgs& args, const ProductOptions& options);
void matmul_gated_experts(const GatedExpertsArgs& args, const ProductOptions& options,
                          cudaStream_t stream);

// The router's product and route() of it in one kernel, for few tokens and plain weights.
// counters: router_counters() of them, zeroed once by the owner; not shared by kernels that run
// side by side.
bool supports_router(const RouterArgs& args);
int64_t router_counters();
void route_tokens(const RouterArgs& args, uint32_t* counters, cudaStream_t stream);

// Keys and values are only read. kv.k_dim == kv.v_dim == head_dim; no latent cache.
void attention_inputs(const AttentionInputsArgs& args, cudaStream_t stream);
// The latent is only read.
void latent_inputs(const LatentInputsArgs& args, cudaStream_t stream);

constexpr int64_t kMostDecodeSeqs = 64;
struct AttentionOptions {
  // attention_counters() of them, zeroed once by the owner and not shared by calls that run side
  // by side; null: no split of the keys of 16-bit caches, which is slow where sequences are few.
  uint32_t* counters = nullptr;
  // Batches of no more sequences (at most kMostDecodeSeqs), each with one token, take a kernel
  // made for them, which is faster but gives other bits; 0: none do.
  int64_t decode_up_to = 0;
  // Likewise prompts over f16 caches, whose queries and weights are rounded to f16 then.
  bool fast_prompts = false;
};
// What args.workspace must hold, which may be null where that is 0: enough for every call with as
// many tokens, sequences and keys or fewer. Here and below args.batch gives tokens and max_kv_len,
// more of which only wastes blocks of threads.
size_t attention_bytes(const AttentionArgs& args);
int64_t attention_counters();
void attention(const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream);
// prepare(next) of the result, which next.x is; args.out may be left as it was.
Activation attention_prepared(const AttentionArgs& args, const AttentionOptions& options,
                              const PrepareArgs& next, bool exact, cudaStream_t stream);
// The same after attention_inputs() or latent_inputs(), whose outputs but the cache may be left as
// they were.
Activation attention_prepared(const AttentionInputsArgs& inputs, const AttentionArgs& args,
                              const AttentionOptions& options, const PrepareArgs& next, bool exact,
                              cudaStream_t stream);
Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                              const AttentionOptions& options, const PrepareArgs& next, bool exact,
                              cudaStream_t stream);

}  // namespace tq::cuda
