// What 16-bit products read: activations as 16-bit rows, and codes as bf16 matrices.
#include <algorithm>

#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/product/product16.h"

namespace tq::cuda {
namespace {

constexpr int kRowThreads = 128;
constexpr int kEach = 8;  // numbers a thread makes at a time: 16 bytes

__device__ __forceinline__ void load_some(const To16& p, int64_t row, int64_t i,
                                          float (&out)[kEach]) {
  const int64_t at = row * p.x.in_padded + i;
  if (p.x.f32 == nullptr) {
    const float scale = p.x.q8_scale[at / p.x.group];
    alignas(8) int8_t q8[kEach];
    *reinterpret_cast<uint2*>(q8) = *reinterpret_cast<const uint2*>(p.x.q8 + at);
#pragma unroll
    for (int k = 0; k < kEach; ++k) out[k] = static_cast<float>(q8[k]) * scale;
    return;
  }
  const float* from = p.x.f32 + at;
  if (reinterpret_cast<uintptr_t>(from) % 16 == 0) {
#pragma unroll
    for (int k = 0; k < kEach; k += 4) {
      *reinterpret_cast<float4*>(out + k) = *reinterpret_cast<const float4*>(from + k);
    }
  } else {
#pragma unroll
    for (int k = 0; k < kEach; ++k) out[k] = from[k];
  }
}

// The eight numbers from slot `slot` on, a multiple of 8, in the order of fragment_slot.
__device__ __forceinline__ void load_slots(const To16& p, int64_t row, int64_t slot,
                                           float (&out)[kEach]) {
  const int in_chunk = static_cast<int>(slot % kChunkIn);
  const int64_t first =
      row * p.x.in_padded + slot - in_chunk + in_chunk / 16 * 4 + in_chunk % 16 / 4;
#pragma unroll
  for (int k = 0; k < kEach; k += 2) {
    const int64_t at = first + k / 2 * 16;
    if (p.x.f32 == nullptr) {
      const float scale = p.x.q8_scale[at / p.x.group];
      const char2 q8 = *reinterpret_cast<const char2*>(p.x.q8 + at);
      out[k] = static_cast<float>(q8.x) * scale;
      out[k + 1] = static_cast<float>(q8.y) * scale;
    } else {
      out[k] = p.x.f32[at];
      out[k + 1] = p.x.f32[at + 1];
    }
  }
}

// The power of two that brings a row's largest number to [2^8, 2^9); 1 for rows of zeros and for
// what is not finite, which stays so.
__device__ __forceinline__ float row_scale(float largest) {
  if (!(largest > 0) || isinf(largest)) return 1;
  int exponent;
  frexpf(largest, &exponent);
  return ldexpf(1, max(exponent - 9, -120));
}

// Block (row).
template <typename T, bool kScaled>
__global__ void __launch_bounds__(kRowThreads) to16_kernel(const To16 p) {
  start_kernel();
  const int64_t row = row_at(p.x.rows, p.first + blockIdx.x);
  float factor = 1;
  if constexpr (kScaled) {
    __shared__ float largest[kRowThreads / kWarp];
    float most = 0;
    for (int64_t i = threadIdx.x * kEach; i < p.in; i += kRowThreads * kEach) {
      alignas(16) float x[kEach];
      load_some(p, row, i, x);
#pragma unroll
      for (int k = 0; k < kEach; ++k) most = fmaxf(most, fabsf(x[k]));
    }
    most = warp_max(most);
    if (threadIdx.x % kWarp == 0) largest[threadIdx.x / kWarp] = most;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < kRowThreads / kWarp; ++w) most = fmaxf(most, largest[w]);
    const float scale = row_scale(most);
    if (threadIdx.x == 0) p.out.scale[blockIdx.x] = scale;
    factor = 1 / scale;
  }
  T* out = static_cast<T*>(p.out.data) + blockIdx.x * p.out.stride;
  for (int64_t i = threadIdx.x * kEach; i < p.in; i += kRowThreads * kEach) {
    alignas(16) float x[kEach];
    if (kScaled && p.out.fragments) {
      load_slots(p, row, i, x);
    } else {
      load_some(p, row, i, x);
    }
    alignas(16) T narrowed[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) narrow(kScaled ? x[k] * factor : x[k], narrowed[k]);
    *reinterpret_cast<uint4*>(out + i) = *reinterpret_cast<const uint4*>(narrowed);
  }
}

struct DequantiseParams {
  const uint8_t* codes;
  __nv_bfloat16* out;
  int64_t first_tile;
  int64_t n_rows;  // from the first tile on
  int64_t in;
  int group;
  Centroids8 centroids;
};

// Four int8 times a factor as bf16, by way of floats whose last mantissa byte they are.
__device__ __forceinline__ uint2 scale_to_bf16(uint32_t codes, float factor) {
  const uint32_t bytes = codes ^ 0x80808080u;
  constexpr uint32_t kMagicBits = 0x4b000000u;  // 2^23
  constexpr float kMagic = 8388608.0f + 128.0f;
  float value[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const uint32_t bits = permute(bytes, kMagicBits, 0x7650u + static_cast<uint32_t>(k));
    value[k] = (__uint_as_float(bits) - kMagic) * factor;
  }
  const __nv_bfloat162 first = __floats2bfloat162_rn(value[0], value[1]);
  const __nv_bfloat162 second = __floats2bfloat162_rn(value[2], value[3]);
  return {*reinterpret_cast<const uint32_t*>(&first), *reinterpret_cast<const uint32_t*>(&second)};
}

__device__ __forceinline__ uint4 exchange(const uint4& x) {
  return {__shfl_xor_sync(kAllLanes, x.x, 1), __shfl_xor_sync(kAllLanes, x.y, 1),
          __shfl_xor_sync(kAllLanes, x.z, 1), __shfl_xor_sync(kAllLanes, x.w, 1)};
}

// By value: a choice between places would put both into memory.
__device__ __forceinline__ uint4 choose(bool first, const uint4& a, const uint4& b) {
  return {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.w : b.w};
}

// One chunk of 16 rows x 64 inputs from `first` on. A lane has two neighbouring pieces of 16 bytes
// of a row; lanes exchange one with their neighbour, so that what two of them write at a time is a
// whole sector of the memory.
template <int kKind>
__device__ __forceinline__ void store_chunk(const CodeStream<kKind>& stream,
                                            const CodeTables<kKind>& tables,
                                            const DequantiseParams& p, int64_t first, int lane) {
  uint32_t codes[8];
  stream.codes.decode(tables, codes);
  const bool odd = lane % 2 == 1;
  // Where the pieces of this lane's pair begin: the even one's, then the odd one's.
  const int64_t in = first + lane % 4 / 2 * 32 + (odd ? 8 : 0);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float factor = __half2float(stream.gain[h]) * p.centroids.unit;
    uint4 piece[2];
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const uint2 low = scale_to_bf16(codes[4 * c + h], factor);
      const uint2 high = scale_to_bf16(codes[4 * c + 2 + h], factor);
      piece[c] = {low.x, low.y, high.x, high.y};
    }
    const uint4 received = exchange(choose(odd, piece[0], piece[1]));
    const int64_t row = int64_t{blockIdx.y} * kTileRows + lane / 4 + 8 * h;
    if (row >= p.n_rows) continue;
    __nv_bfloat16* out = p.out + row * p.in + in;
    if (in < p.in) *reinterpret_cast<uint4*>(out) = choose(odd, received, piece[0]);
    if (in + 16 < p.in) *reinterpret_cast<uint4*>(out + 16) = choose(odd, piece[1], received);
  }
}

constexpr int kChunkWarps = 8;
constexpr int kResident = 4;  // blocks of an SM

// Block (part of the chunks, tile): warps take every n-th chunk, and load one ahead.
template <int kKind>
__global__ void __launch_bounds__(kChunkWarps* kWarp, kResident)
    dequantise_kernel(const DequantiseParams p) {
  start_kernel();
  const int lane = threadIdx.x % kWarp;
  const int n_chunks = static_cast<int>((p.in + kChunkIn - 1) / kChunkIn);
  const int step = static_cast<int>(gridDim.x) * kChunkWarps;
  int chunk = static_cast<int>(blockIdx.x) * kChunkWarps + threadIdx.x / kWarp;
  if (chunk >= n_chunks) return;
  const CodeTables<kKind> tables = code_tables<kKind>(p.centroids);
  CodeStream<kKind> stream;
  stream.start(p.codes, p.first_tile + blockIdx.y, p.in, p.group, lane);
  stream.load(chunk, lane);
  for (; chunk < n_chunks; chunk += step) {
    const CodeStream<kKind> current = stream;
    if (chunk + step < n_chunks) stream.load(chunk + step, lane);
    store_chunk<kKind>(current, tables, p, int64_t{chunk} * kChunkIn, lane);
  }
}

template <int kKind>
void launch_dequantise(const DequantiseParams& p, cudaStream_t stream) {
  const int64_t n_tiles = tiles(p.n_rows);
  const int64_t most = (p.in + kChunkWarps * kChunkIn - 1) / (kChunkWarps * kChunkIn);
  // As many blocks as run at a time, or a chunk for each warp.
  const int64_t parts = std::clamp<int64_t>(kResident * device_info().n_sms / n_tiles, 1, most);
  launch("dequantising weights", dequantise_kernel<kKind>,
         {dim3(static_cast<unsigned>(parts), static_cast<unsigned>(n_tiles)),
          dim3(kChunkWarps * kWarp)},
         stream, p);
}

}  // namespace

void to16(const To16& args, cudaStream_t stream) {
  const LaunchShape shape{dim3(static_cast<unsigned>(args.n)), dim3(kRowThreads)};
  if (args.out.type == Number16::kBF16) {
    return launch("activations as bf16", to16_kernel<__nv_bfloat16, false>, shape, stream, args);
  }
  launch("activations as f16", to16_kernel<__half, true>, shape, stream, args);
}

void dequantise(const WeightView& relaid, int64_t first_row, int64_t n_rows, void* out,
                cudaStream_t stream) {
  const int kind = code_kind(relaid.format);
  const DequantiseParams p{relaid.codes,
                           static_cast<__nv_bfloat16*>(out),
                           first_row / kTileRows,
                           n_rows,
                           relaid.in_padded,
                           relaid.group,
                           centroids8(kind, relaid.group)};
  with_kind(kind, [&](auto constant) { launch_dequantise<decltype(constant)::value>(p, stream); });
}

}  // namespace tq::cuda
