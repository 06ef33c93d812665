// Layers that keep a state: the short convolution, the gated delta rule and the norm behind it, and
// gates of attention. A sequence's tokens are taken in order by threads that hold their part of its
// state in registers, so results depend neither on the batch nor on where a prompt was cut.
#include <cstdint>

#include "kernels/cuda/device/block.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kRecurrentThreads = 128;

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__global__ void sigmoid_gate_kernel(const SigmoidGateArgs args) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.rows * args.dim) return;
  const int64_t row = i / args.dim;
  const int64_t at = args.per_row ? 0 : i % args.dim;
  args.x[i] *= sigmoid(args.gate[row * args.gate_stride + at]);
}

// A warp a row.
__global__ void __launch_bounds__(kRecurrentThreads) gated_norm_kernel(const GatedNormArgs args) {
  start_kernel();
  const int64_t row = int64_t{blockIdx.x} * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const float* x = args.x + row * args.dim;
  const float* gate = args.gate + row * args.dim;
  const int lane = threadIdx.x % kWarp;
  float sum = 0;
  for (int64_t i = lane; i < args.dim; i += kWarp) sum += x[i] * x[i];
  const float scale = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(args.dim) + args.eps);
  for (int64_t i = lane; i < args.dim; i += kWarp) {
    args.out[row * args.dim + i] = x[i] * scale * args.weight[i] * gate[i] * sigmoid(gate[i]);
  }
}

// The tokens of a sequence in the step.
struct SequenceTokens {
  int64_t first;
  int64_t n;
  bool fresh;
};
__device__ __forceinline__ SequenceTokens sequence_tokens(const RaggedBatch& batch, int64_t seq) {
  const int64_t first = batch.q_begin[seq];
  const int64_t n = batch.q_begin[seq + 1] - first;
  return {first, n, batch.kv_len[seq] == n};
}

// The sequence that a token of the step belongs to.
__device__ int64_t sequence_of(const RaggedBatch& batch, int64_t token) {
  int64_t low = 0;
  int64_t high = batch.n_seqs;
  while (low + 1 < high) {
    const int64_t middle = (low + high) / 2;
    (batch.q_begin[middle] <= token ? low : high) = middle;
  }
  return low;
}

// What channel c saw at token t of the sequence's tokens, or before them.
__device__ __forceinline__ float conv_input(const ShortConvArgs& args, const SequenceTokens& tokens,
                                            const float* state, int64_t t, int64_t c) {
  if (t >= 0) return args.x[(tokens.first + t) * args.dim + c];
  return tokens.fresh ? 0.0f : state[(args.width - 1 + t) * args.dim + c];
}

// A thread a token and channel; reads states and leaves them.
__global__ void short_conv_kernel(const ShortConvArgs args) {
  start_kernel();
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= args.dim) return;
  const int64_t token = blockIdx.y;
  const int64_t seq = sequence_of(args.batch, token);
  const SequenceTokens tokens = sequence_tokens(args.batch, seq);
  const float* state = args.state.first + args.batch.states[seq] * args.state.stride;
  const int64_t t = token - tokens.first;
  float sum = 0;
  for (int64_t i = 0; i < args.width; ++i) {
    sum +=
        args.weight[i * args.dim + c] * conv_input(args, tokens, state, t - args.width + 1 + i, c);
  }
  args.out[token * args.dim + c] = sum * sigmoid(sum);
}

// A thread a sequence and channel: its last inputs become its state.
__global__ void conv_state_kernel(const ShortConvArgs args) {
  start_kernel();
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= args.dim) return;
  const SequenceTokens tokens = sequence_tokens(args.batch, blockIdx.y);
  float* state = args.state.first + args.batch.states[blockIdx.y] * args.state.stride;
  for (int64_t r = 0; r < args.width - 1; ++r) {  // reads row r or later ones
    state[r * args.dim + c] = conv_input(args, tokens, state, tokens.n - args.width + 1 + r, c);
  }
}

constexpr int kColumnLanes = 8;                     // that share a column of S
constexpr int kWarpColumns = kWarp / kColumnLanes;  // 4
constexpr int kBlockColumns = kRecurrentThreads / kWarp * kWarpColumns;

// The sum over the lanes of a column, in each of them.
__device__ __forceinline__ float column_sum(float x) {
#pragma unroll
  for (int step = kColumnLanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Row of element e of vector j that a lane holds of its column.
__device__ __forceinline__ int64_t state_row(int j, int e, int part) {
  return kColumnLanes * 4 * j + 4 * part + e;
}

// A lane's part of a query or key: zeros beyond its end. kAligned: in vectors of four.
template <int kVectors, bool kAligned>
__device__ __forceinline__ void load_part(const float* x, int64_t n, int part,
                                          float (&out)[4 * kVectors]) {
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    if constexpr (kAligned) {
      const int64_t row = state_row(j, 0, part);
      const float4 v = row < n ? *reinterpret_cast<const float4*>(x + row) : float4{};
      out[4 * j] = v.x, out[4 * j + 1] = v.y, out[4 * j + 2] = v.z, out[4 * j + 3] = v.w;
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t row = state_row(j, e, part);
        out[4 * j + e] = row < n ? x[row] : 0.0f;
      }
    }
  }
}

// The decay of the state and the weight of what is written, of one token and head.
__device__ __forceinline__ float2 gates_of(const DeltaRuleArgs& args, int64_t token, int64_t head) {
  const float x = args.a[token * args.n_heads + head] + args.dt_bias[head];
  const float softplus = x > 20.0f ? x : log1pf(expf(x));
  return make_float2(expf(-expf(args.a_log[head]) * softplus),
                     sigmoid(args.b[token * args.n_heads + head]));
}

// Eight lanes hold a column of S in registers, a warp four columns, a block sixteen of one head of
// one sequence. Queries and keys are normed on the way: sums are of what they were.
template <int kVectors, bool kAligned>
__global__ void __launch_bounds__(kRecurrentThreads) delta_rule_kernel(const DeltaRuleArgs args) {
  start_kernel();
  constexpr int kRows = 4 * kVectors;
  const int lane = threadIdx.x % kWarp;
  const int part = lane % kColumnLanes;
  const int64_t column = int64_t{blockIdx.x} * kBlockColumns + threadIdx.x / kWarp * kWarpColumns +
                         lane / kColumnLanes;
  const bool mine = column < args.v_dim;
  const int64_t head = blockIdx.y;
  const SequenceTokens tokens = sequence_tokens(args.batch, blockIdx.z);
  float* state = args.state.first + args.batch.states[blockIdx.z] * args.state.stride +
                 head * args.k_dim * args.v_dim + column;
  float s[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int64_t row = state_row(i / 4, i % 4, part);
    s[i] = mine && !tokens.fresh && row < args.k_dim ? state[row * args.v_dim] : 0.0f;
  }
  const int64_t row_floats = 2 * args.n_k_heads * args.k_dim + args.n_heads * args.v_dim;
  const float* queries =
      args.qkv + tokens.first * row_floats + head / (args.n_heads / args.n_k_heads) * args.k_dim;
  const float* keys = queries + args.n_k_heads * args.k_dim;
  const float* values = args.qkv + tokens.first * row_floats + 2 * args.n_k_heads * args.k_dim +
                        head * args.v_dim + column;
  float* out = args.out + (tokens.first * args.n_heads + head) * args.v_dim + column;
  const float query_scale = 1.0f / sqrtf(static_cast<float>(args.k_dim));
  float q[kRows], k[kRows], next_q[kRows], next_k[kRows];
  load_part<kVectors, kAligned>(queries, args.k_dim, part, next_q);
  load_part<kVectors, kAligned>(keys, args.k_dim, part, next_k);
  float next_v = mine ? values[0] : 0.0f;
  float2 gates = {};  // of the lane's token of 32
  for (int64_t t = 0; t < tokens.n; ++t) {
    const int turn = static_cast<int>(t % kWarp);
    if (turn == 0 && t + lane < tokens.n) gates = gates_of(args, tokens.first + t + lane, head);
    const float decay = __shfl_sync(kAllLanes, gates.x, turn);
    const float beta = __shfl_sync(kAllLanes, gates.y, turn);
    const float v = next_v;
#pragma unroll
    for (int i = 0; i < kRows; ++i) q[i] = next_q[i], k[i] = next_k[i];
    if (t + 1 < tokens.n) {
      load_part<kVectors, kAligned>(queries + (t + 1) * row_floats, args.k_dim, part, next_q);
      load_part<kVectors, kAligned>(keys + (t + 1) * row_floats, args.k_dim, part, next_k);
      if (mine) next_v = values[(t + 1) * row_floats];
    }
    float read = 0, key_norm = 0, query_norm = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      read += k[i] * s[i];
      key_norm += k[i] * k[i];
      query_norm += q[i] * q[i];
    }
    const float key_scale = 1.0f / sqrtf(column_sum(key_norm) + 1e-6f);
    const float written = beta * (v - decay * key_scale * column_sum(read)) * key_scale;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      s[i] = decay * s[i] + k[i] * written;
      sum += q[i] * s[i];
    }
    sum = column_sum(sum) * query_scale / sqrtf(column_sum(query_norm) + 1e-6f);
    if (mine && part == 0) out[t * args.n_heads * args.v_dim] = sum;
  }
  if (!mine) return;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int64_t row = state_row(i / 4, i % 4, part);
    if (row < args.k_dim) state[row * args.v_dim] = s[i];
  }
}

template <int kVectors>
void launch_delta_rule(const DeltaRuleArgs& args, cudaStream_t stream) {
  const LaunchShape shape{
      dim3(blocks_for(args.v_dim, kBlockColumns), static_cast<unsigned>(args.n_heads),
           static_cast<unsigned>(args.batch.n_seqs)),
      dim3(kRecurrentThreads)};
  const bool aligned =
      args.k_dim % 4 == 0 && args.row() % 4 == 0 && reinterpret_cast<uintptr_t>(args.qkv) % 16 == 0;
  const auto kernel =
      aligned ? delta_rule_kernel<kVectors, true> : delta_rule_kernel<kVectors, false>;
  launch("delta_rule", kernel, shape, stream, args);
}

}  // namespace

void sigmoid_gate(const SigmoidGateArgs& args, cudaStream_t stream) {
  launch("sigmoid_gate", sigmoid_gate_kernel,
         {dim3(blocks_for(args.rows * args.dim, kRecurrentThreads)), dim3(kRecurrentThreads)},
         stream, args);
}

void gated_norm(const GatedNormArgs& args, cudaStream_t stream) {
  launch("gated_norm", gated_norm_kernel,
         {dim3(blocks_for(args.rows, kRecurrentThreads / kWarp)), dim3(kRecurrentThreads)}, stream,
         args);
}

void short_conv(const ShortConvArgs& args, cudaStream_t stream) {
  const unsigned channels = blocks_for(args.dim, kRecurrentThreads);
  launch("short_conv", short_conv_kernel,
         {dim3(channels, static_cast<unsigned>(args.batch.tokens)), dim3(kRecurrentThreads)},
         stream, args);
  launch("short_conv", conv_state_kernel,
         {dim3(channels, static_cast<unsigned>(args.batch.n_seqs)), dim3(kRecurrentThreads)},
         stream, args);
}

void delta_rule(const DeltaRuleArgs& args, cudaStream_t stream) {
  if (args.k_dim <= 32) return launch_delta_rule<1>(args, stream);
  if (args.k_dim <= 64) return launch_delta_rule<2>(args, stream);
  if (args.k_dim <= 128) return launch_delta_rule<4>(args, stream);
  launch_delta_rule<8>(args, stream);
}

}  // namespace tq::cuda
