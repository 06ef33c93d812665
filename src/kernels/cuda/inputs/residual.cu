// The residual stream between two blocks: what the blocks returned is normed and added, and what
// comes next gets the normed rows in the form that it reads. A block a row, a warp a group of the
// rotation, so that a row is read once and lies in registers.
#include <algorithm>
#include <optional>

#include "base/math.h"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/block.cuh"
#include "kernels/cuda/device/quantise.cuh"
#include "kernels/cuda/inputs/prepare.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kMaxWarps = 32;

struct OutputParams {
  const float* weight;
  float* rows;
  int8_t* q8;
  float* q8_scale;
};

struct ResidualParams {
  int64_t dim;
  int64_t in_padded;
  int n_results;
  BlockResult result[kMaxBlockResults];
  float result_eps;
  const float* sum_weight;  // null: the sum is not normed
  const float* x;           // the residual's rows, x_stride apart
  int64_t x_stride;
  float* residual;  // [tokens, dim] where it goes, or null
  float scale;
  float eps;
  int n_outputs;
  OutputParams output[kMaxNormedInputs];  // rows are x_stride apart too
};

// The lane's part of a row of `dim` elements.
template <int kPerLane>
struct RowPart {
  int64_t first;
  int64_t dim;

  __device__ void load(const float* from, float (&to)[kPerLane], float missing) const {
    if (from != nullptr && kPerLane == 4 && dim % 4 == 0 && first + kPerLane <= dim) {
      const float4 all = *reinterpret_cast<const float4*>(from + first);
      to[0] = all.x, to[1] = all.y, to[kPerLane - 2] = all.z, to[kPerLane - 1] = all.w;
      return;
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      to[k] = from == nullptr || first + k >= dim ? missing : from[first + k];
    }
  }
  __device__ void store(const float (&from)[kPerLane], float* to) const {
    if (kPerLane == 4 && dim % 4 == 0 && first + kPerLane <= dim) {
      *reinterpret_cast<float4*>(to + first) =
          make_float4(from[0], from[1], from[kPerLane - 2], from[kPerLane - 1]);
      return;
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      if (first + k < dim) to[first + k] = from[k];
    }
  }
  // A row of a result; kAtOnce: loads in flight.
  template <int kAtOnce>
  __device__ void load_result(const BlockResult& result, int64_t row, float (&to)[kPerLane]) const {
    if (result.top_k == 0) return load(result.x + row * dim, to, 0.0f);
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) to[k] = 0;
    const int32_t* pairs = result.routing.pairs + row * result.top_k;
    const float* weights = result.routing.weights + row * result.top_k;
#pragma unroll kAtOnce
    for (int64_t i = 0; i < result.top_k; ++i) {
      float y[kPerLane];
      load(result.x + int64_t{pairs[i]} * dim, y, 0.0f);
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) to[k] += weights[i] * y[k];
    }
  }
};

// 1 / rms of as many rows as there are at once; x: a row's elements of this thread.
template <int kRows, int kPerLane>
__device__ void rms_factors(const float (&x)[kRows][kPerLane], int64_t dim, float eps,
                            float (&factor)[kRows]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    factor[r] = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) factor[r] += x[r][k] * x[r][k];
  }
  block_sums(factor);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    factor[r] = 1.0f / sqrtf(factor[r] / static_cast<float>(dim) + eps);
  }
}

// kMany: rows are many, so that blocks side by side matter more than the time of one.
template <int kGroup, int kWarps, bool kMany>
__global__ void __launch_bounds__(kWarps* kWarp, kMany ? 2 : 1)
    next_inputs_kernel(const __grid_constant__ ResidualParams p,
                       const __grid_constant__ RotationMasks masks) {
  constexpr int kPerLane = RotatedGroup<kGroup>::kPerLane;
  allow_next();
  const int lane = threadIdx.x % kWarp;
  const int64_t first = int64_t{threadIdx.x / kWarp} * kGroup;
  const RowPart<kPerLane> part{first + lane * kPerLane, p.dim};
  // Weights do not depend on what runs before us. Of many rows they are loaded where they are used,
  // which takes fewer registers.
  float result_weight[kMaxBlockResults][kPerLane], sum_weight[kPerLane],
      weight[kMaxNormedInputs][kPerLane];
  const auto load_result_weight = [&](int i) {
    part.load(p.result[i].norm_weight, result_weight[i], 1.0f);
  };
  const auto load_sum_weight = [&] { part.load(p.sum_weight, sum_weight, 1.0f); };
  const auto load_weight = [&](int i) { part.load(p.output[i].weight, weight[i], 1.0f); };
  if constexpr (!kMany) {
#pragma unroll
    for (int i = 0; i < kMaxBlockResults; ++i) {
      if (i < p.n_results) load_result_weight(i);
    }
    if (p.sum_weight != nullptr) load_sum_weight();
#pragma unroll
    for (int i = 0; i < kMaxNormedInputs; ++i) {
      if (i < p.n_outputs) load_weight(i);
    }
  }
  wait_for_previous();

  const int64_t row = blockIdx.x;
  float x[1][kPerLane];
  part.load(p.x + row * p.x_stride, x[0], 0.0f);
  if (p.n_results > 0) {
    float result[kMaxBlockResults][kPerLane] = {};
#pragma unroll
    for (int i = 0; i < kMaxBlockResults; ++i) {
      if (i < p.n_results) part.template load_result<kMany ? 4 : 8>(p.result[i], row, result[i]);
    }
    float sum[1][kPerLane] = {};
    float factors[kMaxBlockResults];
    if (p.result[0].norm_weight != nullptr || p.result[1].norm_weight != nullptr) {
      rms_factors(result, p.dim, p.result_eps, factors);
    }
#pragma unroll
    for (int i = 0; i < kMaxBlockResults; ++i) {
      if (i >= p.n_results) break;
      if constexpr (kMany) load_result_weight(i);
      const bool normed = p.result[i].norm_weight != nullptr;
#pragma unroll
      for (int k = 0; k < kPerLane; ++k) {
        sum[0][k] += normed ? result[i][k] * factors[i] * result_weight[i][k] : result[i][k];
      }
    }
    float sum_factor[1];
    if (p.sum_weight != nullptr) {
      if constexpr (kMany) load_sum_weight();
      rms_factors(sum, p.dim, p.result_eps, sum_factor);
    }
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      if (p.sum_weight != nullptr) sum[0][k] *= sum_factor[0] * sum_weight[k];
      x[0][k] = (x[0][k] + sum[0][k]) * p.scale;
    }
    part.store(x[0], p.residual + row * p.dim);
  }
  float factor[1];
  rms_factors(x, p.dim, p.eps, factor);
#pragma unroll
  for (int i = 0; i < kMaxNormedInputs; ++i) {
    if (i >= p.n_outputs) break;
    const OutputParams& output = p.output[i];
    if constexpr (kMany) load_weight(i);
    RotatedGroup<kGroup> values;
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) values.x[k] = x[0][k] * (factor[0] * weight[i][k]);
    if (output.rows != nullptr) part.store(values.x, output.rows + row * p.x_stride);
    if (output.q8 == nullptr) continue;
    values.rotate(masks.d1, masks.d2, masks.scale, lane);
    int8_t q8[kPerLane];
    const float scale = quantise(values, q8);
    store_q8(q8, output.q8 + row * p.in_padded + part.first);
    if (lane == 0) output.q8_scale[(row * p.in_padded + first) / kGroup] = scale;
  }
}

template <int kGroup>
void launch_rows(const ResidualParams& p, int64_t tokens, cudaStream_t stream) {
  const int64_t warps = p.in_padded / kGroup;
  constexpr int kFewWarps = 24;  // which leave twice the registers
  const bool many = tokens > device_info().n_sms;
  const auto kernel = warps > kFewWarps ? next_inputs_kernel<kGroup, kMaxWarps, false>
                      : many            ? next_inputs_kernel<kGroup, kFewWarps, true>
                                        : next_inputs_kernel<kGroup, kFewWarps, false>;
  launch("next_inputs", kernel,
         {dim3(static_cast<unsigned>(tokens)), dim3(static_cast<unsigned>(warps * kWarp))}, stream,
         p, rotation_masks(kGroup));
}

void launch_rows(const ResidualParams& p, int64_t tokens, int group, cudaStream_t stream) {
  if (group == 64) return launch_rows<64>(p, tokens, stream);
  launch_rows<128>(p, tokens, stream);
}

bool fits_a_block(int64_t in_padded, int group) {
  return (group == 64 || group == 128) && in_padded / group <= kMaxWarps;
}

// How rows are divided among warps: as the rotation that all prepared inputs share asks for.
struct InputShape {
  int64_t in_padded;
  int group;
};
// None if prepared inputs differ in it.
std::optional<InputShape> shape_of(const NextInputsArgs& args) {
  const PrepareArgs* rotated = nullptr;
  for (int i = 0; i < args.n_inputs; ++i) {
    const PrepareArgs& prepare = args.inputs[i].prepare;
    if (prepare.form == InputForm::kPlain) continue;
    if (rotated == nullptr) rotated = &prepare;
    if (prepare.in_padded != rotated->in_padded || prepare.group != rotated->group) return {};
  }
  if (rotated != nullptr) return InputShape{rotated->in_padded, rotated->group};
  constexpr int kGroup = 128;
  return InputShape{round_up(args.add.dim, kGroup), kGroup};
}

OutputParams describe_output(const float* weight, float* rows, const Activation& x) {
  return {weight, rows, const_cast<int8_t*>(x.q8), const_cast<float*>(x.q8_scale)};
}

}  // namespace

Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args, cudaStream_t stream) {
  if (args.form == InputForm::kPlain) fail_call("a plain activation fused with its norm");
  const Activation x = describe(args, false);
  const int64_t stride = norm.stride > 0 ? norm.stride : norm.dim;
  if (!fits_a_block(args.in_padded, args.group) || stride % 4 != 0) {
    prepare_long_normed(norm, stride, x, stream);
    return x;
  }
  ResidualParams p = {};
  p.dim = x.in;
  p.in_padded = x.in_padded;
  p.x = norm.x;
  p.x_stride = stride;
  p.eps = norm.eps;
  p.n_outputs = 1;
  p.output[0] = describe_output(norm.weight, norm.out, x);
  launch_rows(p, x.tokens, x.group, stream);
  return x;
}

bool supports_next_inputs(const NextInputsArgs& args) {
  const auto shape = shape_of(args);
  return shape && shape->in_padded >= args.add.dim && fits_a_block(shape->in_padded, shape->group);
}

void next_inputs(const NextInputsArgs& args, cudaStream_t stream) {
  if (!supports_next_inputs(args)) fail_call("inputs that one block cannot prepare");
  const AddResultsArgs& add = args.add;
  const InputShape shape = *shape_of(args);
  ResidualParams p = {};
  p.dim = add.dim;
  p.in_padded = shape.in_padded;
  p.n_results = add.n_results;
  std::copy(add.results, add.results + add.n_results, p.result);
  p.sum_weight = add.norm_weight;
  p.x = p.residual = add.residual;
  p.x_stride = add.dim;
  p.scale = add.scale;
  p.eps = p.result_eps = add.eps;
  p.n_outputs = args.n_inputs;
  for (int i = 0; i < args.n_inputs; ++i) {
    NormedInput& input = args.inputs[i];
    const bool plain = input.prepare.form == InputForm::kPlain;
    input.activation = plain ? describe_rows(input.prepare, 0) : describe(input.prepare, false);
    if (plain) input.activation.f32 = input.rows;
    p.output[i] = describe_output(input.norm_weight, input.rows, input.activation);
  }
  launch_rows(p, add.tokens, shape.group, stream);
}

}  // namespace tq::cuda
