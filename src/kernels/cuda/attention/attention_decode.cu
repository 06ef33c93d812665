// Attention of a decode step: one query a sequence, 16-bit caches. A block takes 1 to 4 heads of a
// kv head's group and, with others, their keys: each lane group of each of its warps walks over
// every n-th key with a softmax of its own, which are merged at the end, over the warp's lanes and
// the block's warps. What blocks that share keys leave is merged by who reads it: a kernel of its
// own, or the rotation of the next product's input.
//
// All that was there before this step - page tables, and every key but the newest - is read before
// the kernel before has ended: it was copied or written before the step's first kernel began.
#include <algorithm>

#include "base/math.h"
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/decode_inputs.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kVec = 8;           // elements of 16 bytes
constexpr int kMostRows = 4;      // heads of a block
constexpr int kMostVectors = 96;  // of a key

struct DecodeParams {
  AttentionArgs args;
  int n_heads;
  int n_kv_heads;
  int group;      // heads of a kv head
  int row_tiles;  // of a group
  int n_vectors;  // of a key
  int v_dim;
  AttentionParts parts;
  ProjectedInputs inputs;
};

// Softmax sums over some keys: of kRows heads, the lane's part of the values.
template <int kRows, int kOwn>
struct Sums {
  float max[kRows];
  float sum[kRows];
  float out[kRows][kOwn];
};

template <typename T>
__device__ __forceinline__ void widen_vector(const uint4& bits, float (&out)[kVec]) {
  alignas(16) T values[kVec];
  *reinterpret_cast<uint4*>(values) = bits;
#pragma unroll
  for (int i = 0; i < kVec; ++i) out[i] = widen(values[i]);
}

// kLanes share a key, each kKeyVectors vectors of it; of a value kValueVectors.
template <typename T, int kLanes, int kKeyVectors, int kValueVectors, int kRows>
struct DecodeWarp {
  static constexpr int kGroups = kWarp / kLanes;
  static constexpr int kOwn = kValueVectors * kVec;
  static constexpr int kAtOnce = kKeyVectors > 1 ? 2 : 4;  // keys, as in parts_for()
  // What is left of a lane's vectors when keys bring their values.
  static constexpr int kStoredValues = kKeyVectors == kValueVectors ? kValueVectors : 0;

  const DecodeParams& p;
  int kv_head;
  int lane;    // within its group
  int stream;  // the group's first key
  int streams;
  int first;  // key
  int last;
  const int32_t* table;
  uint4 k[kAtOnce][kKeyVectors];
  uint4 v[kAtOnce][kStoredValues > 0 ? kStoredValues : 1];
  int slot[kAtOnce];  // of a key in a plane of vectors, or -1
  Sums<kRows, kOwn> all;

  __device__ __forceinline__ int key(int round, int i) const {
    return first + stream + (round * kAtOnce + i) * streams;
  }
  __device__ __forceinline__ void find_slots(int round) {
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const auto at = static_cast<unsigned>(min(key(round, i), last));
      const int page = table[at / kKvBlockTokens] * p.n_kv_heads + kv_head;
      const int place = page * kKvBlockTokens + static_cast<int>(at % kKvBlockTokens);
      slot[i] = key(round, i) > last ? -1 : place;
    }
  }
  // Of the keys but the newest, or of that alone; which is in `made` ([2, dim], in shared memory)
  // or in the cache (null).
  __device__ __forceinline__ void load(int round, bool newest, const T* made = nullptr) {
    const bool own_values = kStoredValues > 0 && p.args.kv.v != nullptr;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if ((key(round, i) == last) != newest) continue;
#pragma unroll
      for (int j = 0; j < kKeyVectors; ++j) {
        const int at = j * kLanes + lane;
        if (newest && made != nullptr) {
          const auto* vectors = reinterpret_cast<const uint4*>(made);
          k[i][j] = at >= p.n_vectors ? uint4{} : vectors[at];
          if (j < kStoredValues && own_values) {
            v[i][j] = at >= p.n_vectors ? uint4{} : vectors[p.n_vectors + at];
          }
          continue;
        }
        const auto* plane = static_cast<const uint4*>(p.args.kv.k);
        k[i][j] =
            slot[i] < 0 || at >= p.n_vectors ? uint4{} : plane[int64_t{slot[i]} * p.n_vectors + at];
        if (j < kStoredValues && own_values) {
          const auto* values = static_cast<const uint4*>(p.args.kv.v);
          v[i][j] = slot[i] < 0 || at >= p.n_vectors ? uint4{}
                                                     : values[int64_t{slot[i]} * p.n_vectors + at];
        }
      }
    }
  }
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      all.max[r] = -INFINITY;
      all.sum[r] = 0;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) all.out[r][i] = 0;
    }
  }
  __device__ __forceinline__ void attend(const float (&q)[kRows][kKeyVectors][kVec]) {
    float score[kAtOnce][kRows] = {};
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
      for (int j = 0; j < kKeyVectors; ++j) {
        float x[kVec];
        widen_vector<T>(k[i][j], x);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int e = 0; e < kVec; ++e) score[i][r] = fmaf(q[r][j][e], x[e], score[i][r]);
        }
      }
    }
#pragma unroll
    for (int step = 1; step < kLanes; step *= 2) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          score[i][r] += __shfl_xor_sync(kAllLanes, score[i][r], step);
        }
      }
    }
    const AttentionArgs& args = p.args;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float max = all.max[r];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        float s = score[i][r] * args.scale;
        if (args.softcap > 0) s = args.softcap * tanhf(s / args.softcap);
        score[i][r] = slot[i] < 0 ? -INFINITY : s;
        max = fmaxf(max, score[i][r]);
      }
      const float before = max == -INFINITY ? 1.0f : __expf(all.max[r] - max);
      all.max[r] = max;
      all.sum[r] *= before;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        score[i][r] = slot[i] < 0 ? 0.0f : __expf(score[i][r] - max);
        all.sum[r] += score[i][r];
      }
#pragma unroll
      for (int i = 0; i < kOwn; ++i) all.out[r][i] *= before;
    }
    const bool own_values = kStoredValues > 0 && args.kv.v != nullptr;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
      for (int j = 0; j < kValueVectors; ++j) {
        float x[kVec];
        widen_vector<T>(own_values ? v[i][kStoredValues > 0 ? j : 0] : k[i][j], x);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int e = 0; e < kVec; ++e) {
            all.out[r][j * kVec + e] = fmaf(score[i][r], x[e], all.out[r][j * kVec + e]);
          }
        }
      }
    }
  }
  // Over the groups of lanes: the sums are in all of them then.
  __device__ __forceinline__ void merge_lanes() {
#pragma unroll
    for (int step = kLanes; step < kWarp; step *= 2) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float other = __shfl_xor_sync(kAllLanes, all.max[r], step);
        const float max = fmaxf(all.max[r], other);
        const float factor = max == -INFINITY ? 1.0f : __expf(all.max[r] - max);
        all.max[r] = max;
        all.sum[r] *= factor;
        all.sum[r] += __shfl_xor_sync(kAllLanes, all.sum[r], step);
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const float scaled = all.out[r][i] * factor;
          all.out[r][i] = scaled + __shfl_xor_sync(kAllLanes, scaled, step);
        }
      }
    }
  }
};

// Block (part of the keys, kv head and tile of its heads, sequence).
template <typename T, int kLanes, int kKeyVectors, int kValueVectors, int kRows>
__global__ void __launch_bounds__(kThreads, kKeyVectors > 1 ? 1 : 2)
    attention_decode_kernel(const __grid_constant__ DecodeParams p) {
  using Warp = DecodeWarp<T, kLanes, kKeyVectors, kValueVectors, kRows>;
  using Inputs = DecodeInputs<T, kRows>;
  extern __shared__ __align__(16) float partial[];  // [kWarps, kRows, v_dim], then the inputs'
  __shared__ float maxima[kWarps][kRows], sums[kWarps][kRows];
  allow_next();
  const AttentionArgs& args = p.args;
  const int part = blockIdx.x;
  const int parts = gridDim.x;
  const int seq = blockIdx.z;
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int kv_head = static_cast<int>(blockIdx.y) / p.row_tiles;
  const int first_row = static_cast<int>(blockIdx.y) % p.row_tiles * kRows;
  const int rows = min(kRows, p.group - first_row);
  const int last = args.batch.kv_len[seq] - 1;
  Warp state{.p = p,
             .kv_head = kv_head,
             .lane = lane % kLanes,
             .stream = (part * kWarps + warp) * Warp::kGroups + lane / kLanes,
             .streams = parts * kWarps * Warp::kGroups,
             .first = args.window > 0 ? max(0, last - static_cast<int>(args.window) + 1) : 0,
             .last = last,
             .table = args.batch.block_tables + seq * args.batch.max_blocks};
  state.find_slots(0);
  state.load(0, /*newest=*/false);
  state.clear();
  const int head = kv_head * p.group + first_row;
  float* const made = partial + kWarps * kRows * p.v_dim;
  const int k_dim = p.n_vectors * kVec;
  const Inputs inputs{{p.inputs, k_dim, seq, kv_head},
                      made,
                      reinterpret_cast<T*>(made + 3 * Inputs::kHeads * k_dim),
                      head,
                      rows};
  const bool makes = p.inputs.kind != ProjectedInputs::Kind::kNone;
  if (makes) inputs.fetch_weights(warp, lane);
  wait_for_previous();
  if (makes) {
    inputs.make(warp, lane, part == 0 && first_row == 0);
    __syncthreads();
  }

  const int64_t vector = int64_t{seq} * p.n_heads + head;
  float q[kRows][kKeyVectors][kVec];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int row = min(r, rows - 1);
    const float* from = makes ? inputs.head(row) : args.q + (vector + row) * k_dim;
#pragma unroll
    for (int j = 0; j < kKeyVectors; ++j) {
      const int at = j * kLanes + state.lane;
#pragma unroll
      for (int e = 0; e < kVec; e += 4) {
        const float4 part = at < p.n_vectors
                                ? *reinterpret_cast<const float4*>(from + at * kVec + e)
                                : float4{0, 0, 0, 0};
        q[r][j][e] = part.x, q[r][j][e + 1] = part.y;
        q[r][j][e + 2] = part.z, q[r][j][e + 3] = part.w;
      }
    }
  }
  const T* newest = makes && inputs.makes_key() ? inputs.newest : nullptr;
  state.load(0, /*newest=*/true, newest);
  state.attend(q);
  for (int round = 1; state.first + round * state.streams * Warp::kAtOnce <= last; ++round) {
    state.find_slots(round);
    state.load(round, false);
    state.load(round, true, newest);
    state.attend(q);
  }
  state.merge_lanes();

  if (lane < kLanes) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int j = 0; j < kValueVectors; ++j) {
        const int at = (j * kLanes + lane) * kVec;
        if (at >= p.v_dim) continue;
        auto* to = reinterpret_cast<float4*>(partial + (warp * kRows + r) * p.v_dim + at);
        const float* own = state.all.out[r] + j * kVec;
        to[0] = make_float4(own[0], own[1], own[2], own[3]);
        to[1] = make_float4(own[4], own[5], own[6], own[7]);
      }
      if (lane == 0) {
        maxima[warp][r] = state.all.max[r];
        sums[warp][r] = state.all.sum[r];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < rows * p.v_dim; i += kThreads) {
    const int r = i / p.v_dim;
    float factor[kWarps], value = 0, sum = 0, top = -INFINITY;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) top = fmaxf(top, maxima[w][r]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      factor[w] = part_factor(maxima[w][r], top);
      sum = fmaf(factor[w], sums[w][r], sum);
      value = fmaf(factor[w], partial[w * (kRows * p.v_dim) + i], value);
    }
    const int64_t at = (vector + r) * parts + part;
    p.parts.values[at * p.v_dim + i % p.v_dim] = value;
    if (i % p.v_dim == 0) p.parts.stats[at] = make_float2(top, sum);
  }
}

// A thread an output.
__global__ void merge_parts_kernel(const AttentionParts parts, float* out, int64_t n) {
  start_kernel();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float value[1];
  merge_parts(parts, i, value);
  out[i] = value[0];
}

template <typename T, int kLanes, int kKeyVectors, int kValueVectors, int kRows>
void launch_decode(const DecodeParams& p, cudaStream_t stream) {
  constexpr auto kKernel = attention_decode_kernel<T, kLanes, kKeyVectors, kValueVectors, kRows>;
  constexpr int kMost =
      kWarps * kRows * kValueVectors * kLanes * kVec * int{sizeof(float)} +
      static_cast<int>(DecodeInputs<T, kRows>::bytes(kKeyVectors * kLanes * kVec));
  allow_shared<kKernel>("attention: shared memory", kMost);
  size_t shared_bytes = static_cast<size_t>(kWarps * kRows * p.v_dim) * sizeof(float);
  if (p.inputs.kind != ProjectedInputs::Kind::kNone) {
    shared_bytes += DecodeInputs<T, kRows>::bytes(p.n_vectors * kVec);
  }
  launch("attention", kKernel,
         {dim3(static_cast<unsigned>(p.parts.n), static_cast<unsigned>(p.n_kv_heads * p.row_tiles),
               static_cast<unsigned>(p.args.batch.n_seqs)),
          dim3(kThreads), shared_bytes},
         stream, p);
}

template <typename T, int kRows>
void pick_size(const DecodeParams& p, cudaStream_t stream) {
  if (p.n_vectors <= 8) return launch_decode<T, 8, 1, 1, kRows>(p, stream);
  if (p.n_vectors <= 16) return launch_decode<T, 16, 1, 1, kRows>(p, stream);
  if (p.n_vectors <= 32) return launch_decode<T, 32, 1, 1, kRows>(p, stream);
  if (p.n_vectors <= 64) return launch_decode<T, 32, 2, 2, kRows>(p, stream);
  launch_decode<T, 32, 3, 2, kRows>(p, stream);
}

template <typename T>
void pick_rows(const DecodeParams& p, int64_t rows, cudaStream_t stream) {
  if (rows == 1) return pick_size<T, 1>(p, stream);
  if (rows == 2) return pick_size<T, 2>(p, stream);
  pick_size<T, kMostRows>(p, stream);
}

int64_t row_tiles(const AttentionArgs& args, int64_t rows) {
  return ceil_div(args.n_heads / args.kv.n_kv_heads, rows);
}

// Heads of a block: 1, 2 or 4, the fewest that leave no more than one block for every two SMs (a
// block's time is that of its instructions, and others share the keys).
int64_t rows_for(const AttentionArgs& args, int64_t seqs) {
  const int64_t group = args.n_heads / args.kv.n_kv_heads;
  int64_t rows = 1;
  while (rows < kMostRows && rows < group &&
         seqs * args.kv.n_kv_heads * row_tiles(args, rows) > device_info().n_sms / 2) {
    rows *= 2;
  }
  return rows;
}

// Blocks that share a row's keys: as many as the GPU holds at once, about, and have something to
// do. Up to 8 are merged without a loop: more only where there are many keys.
int64_t parts_for(const AttentionArgs& args, int64_t seqs, int64_t max_kv_len) {
  const int64_t tiles = seqs * args.kv.n_kv_heads * row_tiles(args, rows_for(args, seqs));
  const int64_t fit = std::max<int64_t>(1, 2 * device_info().n_sms / tiles);
  const int64_t n_vectors = args.kv.k_dim / kVec;
  const int64_t groups = n_vectors <= 8 ? 4 : n_vectors <= 16 ? 2 : 1;  // of a warp's lanes
  const int64_t at_once = kWarps * groups * (n_vectors > 32 ? 2 : 4);   // keys
  const int64_t useful = ceil_div(attended_keys(args, max_kv_len), at_once);
  constexpr int64_t kManyKeys = 2048;
  const int64_t most = attended_keys(args, max_kv_len) < kManyKeys ? 8 : kMostParts;
  return std::min({fit, useful, most});
}

}  // namespace

bool supports_decode(const AttentionArgs& args) {
  const KvLayerView& kv = args.kv;
  constexpr int64_t kMostValues = 64 * kVec;
  const bool latent = kv.v_dim < kv.k_dim;
  return kv_number_bytes(kv.format) == 2 && kv.k_dim % kVec == 0 &&
         kv.k_dim <= kMostVectors * kVec && kv.v_dim % kVec == 0 && kv.v_dim <= kMostValues &&
         kv.v_dim <= kv.k_dim && (kv.v == nullptr || !latent);
}

size_t attention_decode_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len) {
  if (!supports_decode(args)) return 0;
  int64_t bytes = 0;
  for (int64_t seqs = 1; seqs <= max_seqs; ++seqs) {
    const int64_t parts = parts_for(args, seqs, max_kv_len);
    bytes = std::max(bytes, attention_parts_bytes(args, seqs * args.n_heads, parts));
  }
  return static_cast<size_t>(bytes);
}

AttentionParts attention_decode(const AttentionArgs& args, const ProjectedInputs& inputs,
                                cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  const int64_t seqs = args.batch.n_seqs;
  const AttentionParts parts =
      parts_in(workspace_of(args), args, seqs, parts_for(args, seqs, args.batch.max_kv_len));
  const int64_t rows = rows_for(args, seqs);
  const DecodeParams params{args,
                            static_cast<int>(args.n_heads),
                            static_cast<int>(kv.n_kv_heads),
                            static_cast<int>(args.n_heads / kv.n_kv_heads),
                            static_cast<int>(row_tiles(args, rows)),
                            static_cast<int>(kv.k_dim / kVec),
                            static_cast<int>(kv.v_dim),
                            parts,
                            inputs};
  with_kv_format16(kv.format, [&](auto numbers) {
    pick_rows<typename decltype(numbers)::Type>(params, rows, stream);
  });
  return parts;
}

void merge_parts(const AttentionParts& parts, const AttentionArgs& args, int64_t tokens,
                 cudaStream_t stream) {
  constexpr int kMergeThreads = 256;
  const int64_t n = tokens * args.n_heads * args.kv.v_dim;
  launch("merge_parts", merge_parts_kernel,
         {dim3(blocks_for(n, kMergeThreads)), dim3(kMergeThreads)}, stream, parts, args.out, n);
}

}  // namespace tq::cuda
