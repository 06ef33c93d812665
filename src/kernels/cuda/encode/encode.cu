// Compression on the GPU: rows of f32, f16 or bf16 to the native layout of rotated formats. Half a
// warp encodes a group (device/encode.cuh, device/encode_windows.cuh).
#include <algorithm>
#include <type_traits>

#include "format/codebook.h"
#include "format/packing.h"
#include "format/trellis.h"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/encode_windows.cuh"
#include "kernels/cuda/encode/encode.h"
#include "kernels/cuda/encode/encoder_tables.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

struct EncodeParams {
  const void* source;
  DType dtype;
  int64_t in;
  uint32_t groups_per_row;
  uint32_t n_groups;
  uint32_t* codes;
  uint16_t* gains;
  uint32_t* first_bad;
  uint32_t number;
};

__device__ float load(const void* source, DType dtype, int64_t i) {
  if (dtype == DType::kBF16) return widen(static_cast<const __nv_bfloat16*>(source)[i]);
  if (dtype == DType::kF16) return widen(static_cast<const __half*>(source)[i]);
  return static_cast<const float*>(source)[i];
}

template <typename Encoder, int kBits, int kGroup>
__global__ void __launch_bounds__(Encoder::kThreads)
    encode_kernel(const EncodeParams p, const typename Encoder::Tables tables) {
  constexpr int kGroupsPerBlock = Encoder::kThreads / kPartialSums;
  __shared__ typename Encoder::Shared all[kGroupsPerBlock];
  start_kernel();
  const int lane = static_cast<int>(threadIdx.x % kPartialSums);
  typename Encoder::Shared& shared = all[threadIdx.x / kPartialSums];
  const uint32_t group = blockIdx.x * kGroupsPerBlock + threadIdx.x / kPartialSums;
  const bool exists = group < p.n_groups;  // the other half of the warp may have one all the same
  const uint32_t row = group / p.groups_per_row;
  const int64_t begin = int64_t{group - row * p.groups_per_row} * kGroup + lane;

  float x[Encoder::kN];
  bool finite = true;
#pragma unroll
  for (int j = 0; j < Encoder::kN; ++j) {
    const int64_t i = begin + kPartialSums * j;
    x[j] = exists && i < p.in ? load(p.source, p.dtype, row * p.in + i) : 0.0f;
    finite = finite && isfinite(x[j]);
  }
  if (!finite) atomicMin(p.first_bad, p.number);

  const float gain = Encoder(tables, lane, shared).encode(x);
  __syncwarp();
  if (!exists) return;
  constexpr int kWords = kGroup / 32 * kBits;
  for (int w = lane; w < kWords; w += kPartialSums) {
    p.codes[int64_t{group} * kWords + w] = pack_word<kBits, kGroup>(shared.index, w);
  }
  if (lane > 0) return;
  const __half stored = __float2half_rn(gain);
  if (__hisinf(stored) != 0) atomicMin(p.first_bad, p.number);
  p.gains[group] = __half_as_ushort(stored);
}

WindowEncoderTables make_window_tables(int bits, int group, const EncodeOptions& options) {
  WindowEncoderTables tables{};
  const TrellisTable& table = trellis_table(bits, group);
  tables.masks = rotation_masks(group);
  tables.search = trellis_search(options.effort, bits);
  for (int k = 0; k < tables.search.count; ++k) {
    tables.multipliers[k] = trellis_multiplier(bits, table.unit, tables.search.scale(k));
  }
  std::copy(table.newest.begin(), table.newest.end(), tables.newest);
  std::copy(table.older.begin(), table.older.end(), tables.older);
  tables.unit = table.unit;
  tables.beta = options.beta;
  return tables;
}

template <int kKind, int kGroup>
void run(const EncodeParams& params, const EncodeOptions& options, cudaStream_t stream) {
  constexpr int kBits = bits_of(kKind);
  using Encoder = std::conditional_t<is_window(kKind), HalfWarpWindowEncoder<kBits, kGroup>,
                                     HalfWarpEncoder<kBits, kGroup>>;
  const auto tables = [&] {
    if constexpr (is_window(kKind)) {
      return make_window_tables(kBits, kGroup, options);
    } else {
      return make_tables<kBits>(kGroup, options);
    }
  }();
  const auto blocks = blocks_for(params.n_groups, Encoder::kThreads / kPartialSums);
  launch("encode", encode_kernel<Encoder, kBits, kGroup>,
         LaunchShape{dim3(blocks), dim3(Encoder::kThreads)}, stream, params, tables);
}

template <int kKind>
void run(int group, const EncodeParams& params, const EncodeOptions& options, cudaStream_t stream) {
  if (group == 32) return run<kKind, 32>(params, options, stream);
  if (group == 64) return run<kKind, 64>(params, options, stream);
  if (group == 128) return run<kKind, 128>(params, options, stream);
  if (group == 256) return run<kKind, 256>(params, options, stream);
  fail_call("encode: no such group");
}

}  // namespace

void encode(const EncodeArgs& args, cudaStream_t stream) {
  const WeightView& out = args.out;
  const int64_t n_rows = out.experts * out.rows;
  const bool known =
      args.dtype == DType::kF32 || args.dtype == DType::kF16 || args.dtype == DType::kBF16;
  const int64_t n_groups = n_rows * out.gains_per_row();
  if (!is_rotated(out) || !known || n_groups > INT32_MAX) fail_call("encode: no such weight");
  EncodeParams params{};
  params.source = args.source;
  params.dtype = args.dtype;
  params.in = out.in;
  params.groups_per_row = static_cast<uint32_t>(out.gains_per_row());
  params.n_groups = static_cast<uint32_t>(n_groups);
  params.codes = reinterpret_cast<uint32_t*>(const_cast<uint8_t*>(out.codes));
  params.gains = const_cast<uint16_t*>(out.gains);
  params.first_bad = args.first_bad;
  params.number = args.number;
  with_kind(code_kind(out.format), [&](auto kind) {
    run<decltype(kind)::value>(out.group, params, args.options, stream);
  });
}

}  // namespace tq::cuda
