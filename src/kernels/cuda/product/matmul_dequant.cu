// Tier::kDequant: activations and, for cuBLASLt, codes become 16-bit numbers in the scratch, a part
// at a time where it is too small for all.
#include <algorithm>
#include <string_view>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/cublaslt.h"
#include "kernels/cuda/product/product16.h"

namespace tq::cuda {
namespace {

constexpr int64_t kScratch = static_cast<int64_t>(kProductScratch);
constexpr int64_t kAlignment = 256;
// Tokens from which wide16 is faster than product16, and than the fused kernels of experts.
constexpr int64_t kManyOfMatrix = 48;
constexpr int64_t kManyOfShortRows = 32;
// For cuBLASLt: activations, then weights, then its own workspace.
constexpr int64_t kBlasActivations = int64_t{16} << 20;
constexpr int64_t kBlasWeights = int64_t{24} << 20;
static_assert(kBlasActivations + kBlasWeights + static_cast<int64_t>(kBlasWorkspace) == kScratch);

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool is(const MatmulParams& p, std::string_view format) { return p.weight.traits().name == format; }

// Inputs of a row that is multiplied.
int64_t row_in(const MatmulParams& p) {
  return is_rotated(p.weight) ? p.weight.in_padded : p.weight.in;
}

// Rows that fit `bytes`, with a scale each.
int64_t rows_that_fit(int64_t bytes, int64_t in) {
  return std::max<int64_t>((bytes - kAlignment) / (2 * in + 4), 1);
}

Rows16 rows_in(uint8_t* scratch, Number16 type, int64_t n, int64_t in) {
  const int64_t scales = type == Number16::kF16 ? aligned(n * 4) : 0;
  return {type, scratch + scales, in,
          type == Number16::kF16 ? reinterpret_cast<float*>(scratch) : nullptr};
}

RowMap advanced(const RowMap& map, int64_t n) {
  if (map.rows != nullptr) return {map.rows + n, 0, 1};
  return {nullptr, map.first + n * map.step, map.step};
}

Product16Call call_of(const MatmulParams& p) {
  const bool rotated = is_rotated(p.weight);
  Product16Call call = {};
  call.kind = rotated ? code_kind(p.weight.format) : 0;
  call.type = is(p, "bf16") ? Number16::kBF16 : Number16::kF16;
  call.tokens_each = tokens_each(p);
  call.pairs = p.pairs;
  Product16Params& params = call.params;
  params.work = p.work;
  params.rows = p.weight.rows;
  params.in = row_in(p);
  params.group = p.weight.group;
  params.unit = 1;
  if (rotated) {
    params.centroids = centroids8(call.kind, p.weight.group);
    params.unit = params.centroids.unit / kCodeScale;
  }
  params.bias = p.bias;
  params.accumulate = p.accumulate;
  params.out = p.out;
  params.out_stride = p.out_stride;
  return call;
}

void product16(const Product16Call& call, cudaStream_t stream) {
  if (call.kind == 0) return run_product16<0>(call, stream);
  with_kind(call.kind, [&](auto kind) { run_product16<decltype(kind)::value>(call, stream); });
}

void wide16(const Wide16Call& call, cudaStream_t stream) {
  with_kind(call.kind, [&](auto kind) { run_wide16<decltype(kind)::value>(call, stream); });
}

// How a call is run: by product16, or by wide16, which takes gate and up in one.
struct Way {
  bool wide = false;
  const uint8_t* const* up_table = nullptr;
  Activate activate = {};
};

// Converts rows of x, and multiplies them.
void run_part(Product16Call call, const WeightView& weight, const Way& way, To16 rows,
              cudaStream_t stream) {
  rows.out.fragments = way.wide;
  to16(rows, stream);
  call.params.x = rows.out.data;
  call.params.x_stride = rows.out.stride;
  call.params.x_scale = rows.out.scale;
  if (!way.wide) return product16(call, stream);
  wide16({{call.params, way.up_table, way.activate},
          call.kind,
          weight.group,
          way.up_table != nullptr,
          call.pairs},
         stream);
}

void run_dense(const MatmulParams& p, const Way& way, uint8_t* scratch, cudaStream_t stream) {
  const int64_t in = row_in(p);
  const int64_t at_once = rows_that_fit(kScratch, in);
  for (int64_t first = 0; first < p.work.tokens; first += at_once) {
    Product16Call call = call_of(p);
    const int64_t n = std::min(at_once, p.work.tokens - first);
    call.params.work.tokens = n;
    call.params.work.x_rows = {};
    call.params.work.out_rows = advanced(p.work.out_rows, first);
    run_part(call, p.weight, way, {p.x, first, n, in, rows_in(scratch, call.type, n, in)}, stream);
  }
}

// Rows are ordered by token, then head.
void run_heads(const MatmulParams& p, const Way& way, uint8_t* scratch, cudaStream_t stream) {
  const int64_t in = row_in(p);
  const int64_t heads = p.work.n;
  const int64_t at_once = std::max<int64_t>(rows_that_fit(kScratch, in) / heads, 1);
  for (int64_t first = 0; first < p.work.tokens; first += at_once) {
    Product16Call call = call_of(p);
    const int64_t n = std::min(at_once, p.work.tokens - first);
    call.params.work.tokens = n;
    call.params.out += first * heads * p.out_stride;
    run_part(call, p.weight, way,
             {p.x, first * heads, n * heads, in, rows_in(scratch, call.type, n * heads, in)},
             stream);
  }
}

// begin of the pairs first .. first + n - 1, as if there were no others.
__global__ void part_of_pairs(const int32_t* begin, int n_experts, int first, int n, int32_t* out) {
  start_kernel();
  for (int e = threadIdx.x; e <= n_experts; e += blockDim.x) {
    out[e] = min(max(begin[e] - first, 0), n);
  }
}

void run_experts(const MatmulParams& p, const Way& way, uint8_t* scratch, cudaStream_t stream) {
  const int64_t in = row_in(p);
  const Number16 type = call_of(p).type;
  if (p.x.tokens <= rows_that_fit(kScratch, in)) {
    return run_part(call_of(p), p.weight, way,
                    {p.x, 0, p.x.tokens, in, rows_in(scratch, type, p.x.tokens, in)}, stream);
  }
  // Pair by pair: a row may be converted for several experts.
  const int64_t begin_bytes = aligned((p.work.n + 1) * int64_t{sizeof(int32_t)});
  auto* begin = reinterpret_cast<int32_t*>(scratch);
  const int64_t at_once = rows_that_fit(kScratch - begin_bytes, in);
  for (int64_t first = 0; first < p.pairs; first += at_once) {
    const int64_t n = std::min(at_once, p.pairs - first);
    launch("pairs of a part", part_of_pairs, {dim3(1), dim3(256)}, stream, p.work.begin, p.work.n,
           static_cast<int>(first), static_cast<int>(n), begin);
    Product16Call call = call_of(p);
    call.pairs = n;
    call.params.work.begin = begin;
    call.params.work.pair_rows = nullptr;
    call.params.out += first * p.out_stride;
    Activation x = p.x;
    if (p.work.pair_rows != nullptr) x.rows = {p.work.pair_rows};
    run_part(call, p.weight, way, {x, first, n, in, rows_in(scratch + begin_bytes, type, n, in)},
             stream);
  }
}

// Rows of codes that are decoded for cuBLASLt at a time: all parts but the last are equal, so that
// they share a kernel.
int64_t weight_rows_at_once(int64_t rows, int64_t in) {
  constexpr int64_t kBlock = 128;  // of cuBLASLt's kernels
  const int64_t most = kBlasWeights / (2 * in);
  if (most < kBlock) return kTileRows;
  const int64_t parts = (rows + most / kBlock * kBlock - 1) / (most / kBlock * kBlock);
  return (rows + parts * kBlock - 1) / (parts * kBlock) * kBlock;
}

// Rows of out evenly spaced.
bool spaced(const MatmulParams& p) {
  return p.work.out_rows.rows == nullptr && p.work.out_rows.step > 0;
}

}  // namespace

bool tensor16_supports(const MatmulParams& p) {
  constexpr int64_t kLongest = int64_t{1} << 22;  // a row must fit the scratch
  if (row_in(p) > kLongest) return false;
  if (is_rotated(p.weight)) return true;
  return (is(p, "f16") || is(p, "bf16")) && p.weight.in % 8 == 0;
}

bool has_wide_kernels([[maybe_unused]] const WeightView& weight) {
#if defined(TQ_CUDA_SM90A)
  return imagined_device().sm90a && is_rotated(weight) &&
         (weight.group == 64 || weight.group == 128);
#else
  return false;
#endif
}

bool suits_wide16(const MatmulParams& p) {
  return has_wide_kernels(p.weight) &&
         tokens_each(p) >= (p.weight.in_padded <= kShortRow ? kManyOfShortRows : kManyOfMatrix);
}

void matmul_tensor16(const MatmulParams& p, uint8_t* scratch, bool batch_invariant,
                     cudaStream_t stream) {
  const Way way{!batch_invariant && suits_wide16(p)};
  switch (p.work.kind) {
    case WorkKind::kDense:
      return run_dense(p, way, scratch, stream);
    case WorkKind::kExperts:
      return run_experts(p, way, scratch, stream);
    case WorkKind::kHeads:
      return run_heads(p, way, scratch, stream);
  }
}

void matmul_gated_wide16(const MatmulParams& gate, const GatedExpertsArgs& args, uint8_t* scratch,
                         cudaStream_t stream) {
  run_experts(gate, {true, args.up.codes, args.activate}, scratch, stream);
}

bool cublaslt_supports(const MatmulParams& p) {
  constexpr int64_t kLongest = int64_t{1} << 19;  // 16 rows of weights must fit the scratch
  if (p.work.kind != WorkKind::kDense || p.bias != nullptr || !spaced(p)) return false;
  if (row_in(p) > kLongest) return false;
  if (is_rotated(p.weight)) return true;
  if (is(p, "bf16")) return p.weight.in % 8 == 0;
  // fp32 activations are read where they are.
  return is(p, "f32") && p.weight.in % 4 == 0 && p.x.in_padded % 4 == 0 &&
         reinterpret_cast<uintptr_t>(p.x.f32) % 16 == 0 && p.x.rows.rows == nullptr &&
         p.x.rows.step == 1 && p.x.rows.first * p.x.in_padded % 4 == 0;
}

bool matmul_cublaslt(const MatmulParams& p, uint8_t* scratch, cudaStream_t stream) {
  const int64_t in = row_in(p);
  const RowMap& to = p.work.out_rows;
  BlasProduct product{};
  product.rows = p.weight.rows;
  product.tokens = p.work.tokens;
  product.in = in;
  product.w = p.weight.codes;
  product.w_stride = in;
  product.out = p.out + to.first * p.out_stride;
  product.out_stride = p.out_stride * to.step;
  product.accumulate = p.accumulate;
  product.workspace = scratch + kBlasActivations + kBlasWeights;
  if (is(p, "f32")) {
    product.x = p.x.f32 + p.x.rows.first * p.x.in_padded;
    product.x_stride = p.x.in_padded;
    return blas_multiply(product, stream);
  }
  product.bf16 = true;
  product.x = scratch;
  product.x_stride = in;
  const bool rotated = is_rotated(p.weight);
  uint8_t* const weights = scratch + kBlasActivations;
  const int64_t rows_at_once = rotated ? weight_rows_at_once(p.weight.rows, in) : p.weight.rows;
  const int64_t tokens_at_once = rows_that_fit(kBlasActivations, in);
  for (int64_t first = 0; first < p.work.tokens; first += tokens_at_once) {
    product.tokens = std::min(tokens_at_once, p.work.tokens - first);
    to16({p.x, first, product.tokens, in, {Number16::kBF16, scratch, in, nullptr}}, stream);
    for (int64_t row = 0; row < p.weight.rows; row += rows_at_once) {
      product.rows = std::min(rows_at_once, p.weight.rows - row);
      if (rotated) {
        dequantise(p.weight, row, product.rows, weights, stream);
        product.w = weights;
      }
      BlasProduct part = product;
      part.out += first * product.out_stride + row;
      if (blas_multiply(part, stream)) continue;
      if (first > 0 || row > 0) fail_device("a part of a product", "cuBLASLt has no kernel for it");
      return false;
    }
  }
  return true;
}

}  // namespace tq::cuda
