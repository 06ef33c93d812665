// Products by the fused kernel: of one matrix, of several with one activation, of gate and up.
#include <algorithm>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/inputs/prepare.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/fused.h"
#include "kernels/cuda/product/matmul.h"

namespace tq::cuda {
namespace {

constexpr int kLargestSegments = 8;
// Warps that keep the GPU busy.
constexpr int64_t kEnoughWarps = 2048;

// Segments a row's inputs are cut into, so that a product with few tokens fills the GPU: the fewest
// that give enough warps, each with at least two stages. A function of the weights alone.
int segments_for(int64_t n_tiles, int64_t in_padded) {
  const int64_t stages = (in_padded + kStageIn - 1) / kStageIn;
  int segments = 1;
  while (segments < kLargestSegments && n_tiles * segments < kEnoughWarps &&
         stages >= 4 * segments) {
    segments *= 2;
  }
  return segments;
}

// Matrices that a step with one token reads, about.
int64_t busy_matrices(const WorkParams& work) {
  constexpr int kTypicalTopK = 8;
  return work.kind == WorkKind::kExperts ? std::min(work.n, kTypicalTopK) : work.n;
}

// The product's kernel prepares the rows that were left to it only where there are few.
Activation input_of(const MatmulParams& p, bool gated, cudaStream_t stream) {
  const bool prepares = !gated && tokens_each(p) <= 8 * kResidentTiles;
  return p.x.source != nullptr && !prepares ? prepare_now(p.x, stream) : p.x;
}

// Tokens that a matrix has at most; an expert has a row of x once.
int most_tokens(const MatmulParams& p) {
  const int64_t most = p.work.kind != WorkKind::kExperts ? p.work.tokens
                       : p.work.pair_rows != nullptr     ? std::min(p.x.tokens, p.pairs)
                                                         : p.pairs;
  return static_cast<int>(std::min<int64_t>(most, 8 * kResidentTiles));
}

FusedParams fused_params(const MatmulParams& p, bool gated, cudaStream_t stream) {
  FusedParams out = {};
  out.work = p.work;
  out.n_tiles = static_cast<int>(tiles(p.weight.rows));
  out.part[0] = {p.work.codes, 0, p.weight.rows, p.bias, p.out, p.out_stride};
  out.n_parts = p.work.kind == WorkKind::kDense ? 1 : 0;
  out.in_padded = p.weight.in_padded;
  out.n_segments = segments_for(out.n_tiles * busy_matrices(p.work), p.weight.in_padded);
  const Activation x = input_of(p, gated, stream);
  out.q8 = x.q8;
  out.q8_scale = x.q8_scale;
  out.resident_rows = most_tokens(p);
  out.accumulate = p.accumulate;
  out.centroids = centroids8(code_kind(p.weight.format), p.weight.group);
  if (x.source == nullptr) return out;
  out.source = x.source;
  out.source_stride = x.source_stride;
  if (x.n_parts > 0) out.parts = parts_of(x);
  out.in = static_cast<int>(x.in);
  out.masks = rotation_masks(x.group);
  return out;
}

void run(const WeightView& weight, const FusedCall& call, cudaStream_t stream) {
  with_kind(code_kind(weight.format),
            [&](auto kind) { run_fused<decltype(kind)::value>(call, stream); });
}

bool same_shape(const WeightView& a, const WeightView& b) {
  return a.format == b.format && a.group == b.group && a.in_padded == b.in_padded;
}

}  // namespace

bool fused_supports(const WeightView& weight, const Activation& x) {
  return is_rotated(weight) && x.q8 != nullptr && (weight.group == 64 || weight.group == 128);
}

void matmul_fused(const MatmulParams& p, cudaStream_t stream) {
  run(p.weight, {fused_params(p, false, stream), p.weight.group, false, tokens_each(p), p.pairs},
      stream);
}

bool supports_shared(std::span<const MatmulArgs> products) {
  if (products.empty() || products.size() > kMaxShared) return false;
  const MatmulArgs& first = products[0];
  return fused_supports(first.weight, first.x) &&
         std::all_of(products.begin(), products.end(), [&](const MatmulArgs& product) {
           return same_shape(product.weight, first.weight);
         });
}

void matmul_shared(std::span<const MatmulArgs> products, cudaStream_t stream) {
  if (!supports_shared(products)) fail_call("weights of different shapes in one product");
  const MatmulParams first = describe(products[0]);
  FusedParams params = fused_params(first, false, stream);
  int64_t n_tiles = 0;
  for (size_t k = 0; k < products.size(); ++k) {
    const MatmulParams p = describe(products[k]);
    params.part[k] = {p.work.codes, static_cast<int>(n_tiles), p.weight.rows, p.bias, p.out,
                      p.out_stride};
    n_tiles += tiles(p.weight.rows);
  }
  params.n_parts = static_cast<int>(products.size());
  params.n_tiles = static_cast<int>(n_tiles);
  params.n_segments = segments_for(n_tiles, params.in_padded);
  run(first.weight, {params, first.weight.group, false, tokens_each(first), 0}, stream);
}

bool supports_gated(const GatedExpertsArgs& args) {
  return fused_supports(args.gate.matrix, args.x) && same_shape(args.gate.matrix, args.up.matrix) &&
         args.gate.matrix.rows == args.up.matrix.rows;
}

void matmul_gated_fused(const MatmulParams& gate, const GatedExpertsArgs& args,
                        cudaStream_t stream) {
  FusedParams params = fused_params(gate, true, stream);
  params.up_table = args.up.codes;
  params.activate = args.activate;
  run(gate.weight, {params, gate.weight.group, true, tokens_each(gate), gate.pairs}, stream);
}

}  // namespace tq::cuda
