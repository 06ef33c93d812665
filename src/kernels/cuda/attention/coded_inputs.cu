// The keys' and values' way into a cache of codes: head norms and rotary embedding as for other
// caches (attention_inputs.cu), then the codec of the weights, whose bytes are those that the CPU
// writes (format/kv_rotated.h). Half a warp encodes a group. Compiled without contraction, as
// every rounding of the encoder is part of its result.
#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/device/coded.cuh"
#include "kernels/cuda/device/encode.cuh"
#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/encode/encoder_tables.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kHalves = kWarp / kPartialSums;

struct CodedInputsParams {
  AttentionInputsArgs args;  // whose kv.near is the host's
  KvLayerView near;          // k null: there is none
};

// A head's plane of codes and what lies beside it.
struct VectorPlanes {
  uint32_t* codes;
  uint16_t* gains;
};

// x [dim]: a head in shared memory.
template <int kBits, int kGroup>
__device__ void store_codes(const float* x, int dim, const VectorPlanes& to,
                            const EncoderTables<kBits>& tables, GroupIndices<kGroup>& shared,
                            int lane) {
  using Encoder = HalfWarpEncoder<kBits, kGroup>;
  constexpr int kWords = kGroup / 32 * kBits;
  const int place = lane % kPartialSums;
  const int n_groups = dim / kGroup;
  for (int first = 0; first < n_groups; first += kHalves) {
    const int group = first + lane / kPartialSums;
    const bool there = group < n_groups;
    float own[Encoder::kN];
    bool finite = true;
#pragma unroll
    for (int j = 0; j < Encoder::kN; ++j) {
      own[j] = there ? x[group * kGroup + place + kPartialSums * j] : 0.0f;
      finite = finite && isfinite(own[j]);
    }
    const unsigned half = 0xffffu << (lane / kPartialSums * kPartialSums);
    finite = (__ballot_sync(kAllLanes, finite) & half) == half;
    if (!finite) {  // numbers without a length have no codes: the gain says so
#pragma unroll
      for (int j = 0; j < Encoder::kN; ++j) own[j] = 0;
    }
    Encoder encoder(tables, place, shared);
    const float gain = encoder.encode(own);
    __syncwarp();
    if (there) {
      for (int w = place; w < kWords; w += kPartialSums) {
        to.codes[group * kWords + w] = finite ? pack_word<kBits, kGroup>(shared.index, w) : 0;
      }
      if (place == 0) {
        to.gains[group] =
            finite ? __half_as_ushort(__float2half_rn(fminf(gain, kLargestKvGain))) : kKvNan;
      }
    }
    __syncwarp();
  }
}

// Where vector (slot, head) of a plane lies, in vectors.
__device__ __forceinline__ int64_t vector_at(const KvLayerView& kv, int64_t slot, int64_t head) {
  return (slot / kKvBlockTokens * kv.n_kv_heads + head) * kKvBlockTokens + slot % kKvBlockTokens;
}

// Vector `vector` of planes whose gains are of kGroup numbers.
template <int kBits, int kGroup>
__device__ VectorPlanes planes_of(void* codes, uint16_t* gains, int64_t dim, int64_t vector) {
  return {reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(codes) + vector * (dim / 8 * kBits)),
          gains + vector * (dim / kGroup)};
}

// A warp a head: the token's query heads, then its key heads, then its value heads.
template <typename Format, int kGroup>
__global__ void __launch_bounds__(kWarps* kWarp)
    coded_inputs_kernel(const __grid_constant__ CodedInputsParams p,
                        const __grid_constant__ EncoderTables<Format::Keys::kBits> key_tables,
                        const __grid_constant__ EncoderTables<Format::Values::kBits> value_tables) {
  extern __shared__ float coded_heads[];
  __shared__ GroupIndices<kGroup> indices[kWarps * kHalves];
  allow_next();
  const AttentionInputsArgs& args = p.args;
  const KvLayerView& kv = args.kv;
  const int lane = threadIdx.x % kWarp;
  const auto per_token =
      static_cast<uint32_t>(args.n_heads + (args.k == nullptr ? 0 : 2 * kv.n_kv_heads));
  const uint32_t item = blockIdx.x * kWarps + threadIdx.x / kWarp;
  if (item >= args.tokens * per_token) return wait_for_previous();
  const int64_t token = item / per_token;
  int64_t head = item % per_token;
  const bool query = head < args.n_heads;
  if (!query) head -= args.n_heads;
  const bool value = !query && head >= kv.n_kv_heads;
  if (value) head -= kv.n_kv_heads;
  const int dim = static_cast<int>(kv.k_dim);
  float* x = coded_heads + threadIdx.x / kWarp * dim;
  const float* source = query ? args.q : value && !args.v_is_k ? args.v : args.k;
  const int64_t source_vector = token * (query ? args.n_heads : kv.n_kv_heads) + head;
  wait_for_previous();
  fetch_floats(source + source_vector * dim, x, dim, lane);
  wait_fetched();
  if (value) {
    if (args.v_norm) norm_head(x, dim, nullptr, args.eps, lane);
  } else {
    if (args.qk_norm) norm_head(x, dim, query ? args.q_norm : args.k_norm, args.eps, lane);
    rotate_head(x, static_cast<int>(args.n_pairs), args.interleaved,
                args.cos + token * args.n_pairs, args.sin + token * args.n_pairs, lane);
  }
  if (query) {
    float* out = args.q + source_vector * dim;
    for (int i = lane; i < dim; i += kWarp) out[i] = x[i];
    return;
  }
  const int64_t vector = vector_at(kv, args.slots[token], head);
  GroupIndices<kGroup>& shared = indices[threadIdx.x / kPartialSums];
  constexpr int kKeyBits = Format::Keys::kBits, kValueBits = Format::Values::kBits;
  if (value) {
    const auto to = planes_of<kValueBits, kGroup>(kv.v, kv.v_gains, dim, vector);
    store_codes<kValueBits, kGroup>(x, dim, to, value_tables, shared, lane);
  } else {
    const auto to = planes_of<kKeyBits, kGroup>(kv.k, kv.k_gains, dim, vector);
    store_codes<kKeyBits, kGroup>(x, dim, to, key_tables, shared, lane);
  }
  if (p.near.k == nullptr) return;
  // In the basis of the codes.
  rotate_vector(x, dim, kGroup, value ? value_tables.masks : key_tables.masks, lane);
  __half* near = static_cast<__half*>(value ? p.near.v : p.near.k) +
                 vector_at(p.near, args.near_slots[token], head) * dim;
  for (int i = lane; i < dim; i += kWarp) near[i] = __float2half_rn(x[i]);
}

template <typename Format, int kGroup>
void launch_inputs(const AttentionInputsArgs& args, cudaStream_t stream) {
  using Keys = typename Format::Keys;
  using Values = typename Format::Values;
  static const auto kKeyTables = make_tables<Keys::kBits>(kGroup, Keys::kEncode);
  static const auto kValueTables = make_tables<Values::kBits>(kGroup, Values::kEncode);
  const KvLayerView& kv = args.kv;
  const int64_t heads = args.n_heads + (args.k == nullptr ? 0 : 2 * kv.n_kv_heads);
  launch("attention inputs", coded_inputs_kernel<Format, kGroup>,
         {dim3(blocks_for(args.tokens * heads, kWarps)), dim3(kWarps * kWarp),
          static_cast<size_t>(kWarps * kv.k_dim) * sizeof(float)},
         stream, CodedInputsParams{args, kv.near != nullptr ? *kv.near : KvLayerView{}}, kKeyTables,
         kValueTables);
}

}  // namespace

void coded_inputs(const AttentionInputsArgs& args, cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  const int group = kv_group(kv.k_dim);
  if (group == 0 || kv.k_dim != kv.v_dim || kv.v == nullptr) {
    fail_call("a cache of codes for heads of such sizes");
  }
  with_coded_format(kv.format, [&](auto format) {
    using Format = decltype(format);
    if (group == 128) return launch_inputs<Format, 128>(args, stream);
    if (group == 64) return launch_inputs<Format, 64>(args, stream);
    launch_inputs<Format, 32>(args, stream);
  });
}

void coded_store(const KvStoreArgs& args, cudaStream_t stream) {
  AttentionInputsArgs inputs = {};
  inputs.k = const_cast<float*>(args.k);  // only read
  inputs.v = const_cast<float*>(args.v);
  inputs.tokens = args.tokens;
  inputs.kv = args.kv;
  inputs.slots = args.slots;
  inputs.near_slots = args.near_slots;
  coded_inputs(inputs, stream);
}

}  // namespace tq::cuda
