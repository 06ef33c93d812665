// What brings activations into the form a matmul reads: embedding rows, and the rotation with its
// int8 quantisation, alone or with the norm or the gated activation before it.
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/attention_parts.cuh"
#include "kernels/cuda/device/block.cuh"
#include "kernels/cuda/device/quantise.cuh"
#include "kernels/cuda/inputs/prepare.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void embed_plain(const EmbedArgs args) {
  start_kernel();
  const auto* row =
      reinterpret_cast<const T*>(args.table.codes) + int64_t{args.ids[blockIdx.x]} * args.table.in;
  float* out = args.out + blockIdx.x * args.table.in;
  for (int64_t i = threadIdx.x; i < args.table.in; i += blockDim.x) {
    out[i] = widen(row[i]) * args.scale;
  }
}

// A warp takes every n-th group of a token's row.
template <int kGroup>
__global__ void embed_rotated(const EmbedArgs args, const __grid_constant__ CodebookTable book,
                              const __grid_constant__ RotationMasks masks, int kind) {
  start_kernel();
  __shared__ float centroids[32];
  if (threadIdx.x < 32) centroids[threadIdx.x] = book.centroids[threadIdx.x];
  __syncthreads();
  const TileMatrix table{args.table.codes, kind, kGroup, args.table.in_padded};
  const TileValues table_values{table, book, centroids};
  const int64_t row = args.ids[blockIdx.x];
  const int lane = threadIdx.x % kWarp;
  const int64_t step = int64_t{blockDim.x / kWarp} * kGroup;
  for (int64_t first = int64_t{threadIdx.x / kWarp} * kGroup; first < args.table.in_padded;
       first += step) {
    RotatedGroup<kGroup> values;
    const int64_t mine = first + lane * values.kPerLane;
    const float gain = table.gain(row, first);
#pragma unroll
    for (int k = 0; k < values.kPerLane; ++k) {
      values.x[k] = gain * table_values.centroid(row, mine + k);
    }
    values.rotate(masks.d2, masks.d1, masks.scale, lane);
#pragma unroll
    for (int k = 0; k < values.kPerLane; ++k) {
      if (mine + k < args.table.in) {
        args.out[blockIdx.x * args.table.in + mine + k] = values.x[k] * args.scale;
      }
    }
  }
}

// Where the values of a row come from before they are rotated.
struct PlainSource {
  const float* x;
  int64_t stride;
  __device__ void start(int64_t /*row*/, int64_t /*in*/) {}
  template <int kN>
  __device__ void load(int64_t row, int64_t in, int64_t first, float (&out)[kN]) const {
    const float* from = x + row * stride + first;
#pragma unroll
    for (int k = 0; k < kN; ++k) out[k] = first + k < in ? from[k] : 0.0f;
  }
};

// What attention left in parts: rows are whole heads.
struct PartsSource {
  AttentionParts parts;
  __device__ void start(int64_t /*row*/, int64_t /*in*/) {}
  template <int kN>
  __device__ void load(int64_t row, int64_t in, int64_t first, float (&out)[kN]) const {
    if (first < in) return merge_parts(parts, row * in + first, out);
#pragma unroll
    for (int k = 0; k < kN; ++k) out[k] = 0;
  }
};

// The same in the basis that they shall be in.
struct RotatedPartsSource : PartsSource {};
struct RotatedSource : PlainSource {};
template <typename Source>
constexpr bool kIsRotated = false;
template <>
constexpr bool kIsRotated<RotatedPartsSource> = true;
template <>
constexpr bool kIsRotated<RotatedSource> = true;

struct NormSource {
  RmsNormArgs norm;
  int64_t stride;
  float scale;
  __device__ void start(int64_t row, int64_t in) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < in; i += blockDim.x) {
      const double value = norm.x[row * stride + i];
      sum += value * value;
    }
    sum = block_sum(sum);
    scale = static_cast<float>(1.0 / sqrt(sum / static_cast<double>(in) + double{norm.eps}));
  }
  template <int kN>
  __device__ void load(int64_t row, int64_t in, int64_t first, float (&out)[kN]) const {
    for (int k = 0; k < kN; ++k) {
      const int64_t i = first + k;
      out[k] = 0;
      if (i >= in) continue;
      const float normed = norm.x[row * stride + i] * scale;
      out[k] = norm.weight == nullptr ? normed : normed * norm.weight[i];
      if (norm.out != nullptr) norm.out[row * stride + i] = out[k];
    }
  }
};

// Of one group held by the warp.
template <int kGroup>
__device__ void store_group(const RotatedGroup<kGroup>& values, const RotateParams& p, int64_t row,
                            int64_t first, int lane) {
  constexpr int kPerLane = RotatedGroup<kGroup>::kPerLane;
  const int64_t at = row * p.in_padded + first + lane * kPerLane;
  if (p.f32 != nullptr) {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) p.f32[at + k] = values.x[k];
    return;
  }
  int8_t q8[kPerLane];
  const float scale = quantise(values, q8);
  store_q8(q8, p.q8 + at);
  if (lane == 0) p.q8_scale[(row * p.in_padded + first) / kGroup] = scale;
}

// A block a row (and, where rows need no start, a part of its groups); a warp a group at a time.
template <int kGroup, typename Source>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(Source source, const RotateParams p,
                   const __grid_constant__ RotationMasks masks) {
  start_kernel();
  const int64_t row = blockIdx.x;
  source.start(row, p.in);
  const int lane = threadIdx.x % kWarp;
  const int warps = static_cast<int>(blockDim.x / kWarp);
  const int64_t step = int64_t{warps} * gridDim.y * kGroup;
  for (int64_t first = int64_t{blockIdx.y * warps + threadIdx.x / kWarp} * kGroup;
       first < p.in_padded; first += step) {
    RotatedGroup<kGroup> values;
    source.load(row, p.in, first + lane * values.kPerLane, values.x);
    if constexpr (!kIsRotated<Source>) {
      values.rotate(masks.d1, masks.d2, masks.scale, lane);
    }
    store_group(values, p, row, first, lane);
  }
}

// How a row's groups are spread over blocks.
struct RowShape {
  int64_t blocks = 1;
  int64_t threads = kThreads;
};

template <typename Source>
void launch_prepare(const Source& source, const Activation& x, const RowShape& row,
                    cudaStream_t stream) {
  const RotateParams params = rotate_params(x);
  const RotationMasks masks = rotation_masks(x.group);
  const LaunchShape shape{dim3(static_cast<unsigned>(x.tokens), static_cast<unsigned>(row.blocks)),
                          dim3(static_cast<unsigned>(row.threads))};
  switch (x.group) {
    case 32:
      return launch("prepare", prepare_kernel<32, Source>, shape, stream, source, params, masks);
    case 64:
      return launch("prepare", prepare_kernel<64, Source>, shape, stream, source, params, masks);
    case 128:
      return launch("prepare", prepare_kernel<128, Source>, shape, stream, source, params, masks);
    case 256:
      return launch("prepare", prepare_kernel<256, Source>, shape, stream, source, params, masks);
    default:
      fail_call("a rotation of an unknown group");
  }
}

// Few rows are spread over the GPU, down to two groups a block.
RowShape row_shape(const Activation& x) {
  if (x.tokens >= device_info().n_sms) return {};
  const int64_t groups = x.in_padded / x.group;
  int64_t warps = kThreads / kWarp;
  while (warps > 2 && x.tokens * (groups + warps - 1) / warps < device_info().n_sms) warps /= 2;
  return {(groups + warps - 1) / warps, warps * kWarp};
}

template <typename T>
void launch_embed(const EmbedArgs& args, cudaStream_t stream) {
  launch("embed", embed_plain<T>, {dim3(static_cast<unsigned>(args.tokens)), dim3(kThreads)},
         stream, args);
}

}  // namespace

size_t activation_bytes(int64_t tokens, int64_t in_padded, int group, InputForm form, bool exact) {
  if (form == InputForm::kPlain) return 0;
  const auto n = static_cast<size_t>(tokens * in_padded);
  return exact ? n * sizeof(float) : n + scale_bytes(tokens, in_padded, group);
}

Activation prepare(const PrepareArgs& args, bool exact, cudaStream_t stream) {
  return prepare_strided(args, args.in, exact, stream);
}

Activation prepare_strided(const PrepareArgs& args, int64_t stride, bool exact,
                           cudaStream_t stream) {
  if (args.form == InputForm::kPlain) {
    Activation x = describe_rows(args, 0);
    x.f32 = args.x;
    x.in_padded = stride;
    return x;
  }
  const Activation x = describe(args, exact);
  launch_prepare(PlainSource{args.x, stride}, x, row_shape(x), stream);
  return x;
}

bool supports_later(const PrepareArgs& args) {
  constexpr int64_t kWidest = 512;
  constexpr int64_t kMostRows = 32;  // with more the kernel that is saved costs less
  return args.form == InputForm::kRotated && (args.group == 64 || args.group == 128) &&
         args.in_padded <= kWidest && args.tokens <= kMostRows;
}

Activation prepare_later(const PrepareArgs& args, int64_t stride) {
  Activation x = describe(args, false);
  x.source = args.x;
  x.source_stride = stride;
  return x;
}

Activation prepare_now(const Activation& later, cudaStream_t stream) {
  Activation x = later;
  x.source = nullptr;
  if (later.n_parts > 0) {
    launch_prepare(PartsSource{parts_of(later)}, x, row_shape(x), stream);
  } else {
    launch_prepare(PlainSource{later.source, later.source_stride}, x, row_shape(x), stream);
  }
  return x;
}

Activation prepare_parts(const AttentionParts& parts, const PrepareArgs& args,
                         cudaStream_t stream) {
  Activation x = describe(args, false);
  if (args.in == parts.v_dim && supports_later(args)) {
    x.source = parts.values;
    x.part_stats = reinterpret_cast<const float*>(parts.stats);
    x.n_parts = parts.n;
    return x;
  }
  launch_prepare(PartsSource{parts}, x, row_shape(x), stream);
  return x;
}

Activation prepare_rotated_parts(const AttentionParts& parts, const PrepareArgs& args,
                                 cudaStream_t stream) {
  const Activation x = describe(args, false);
  launch_prepare(RotatedPartsSource{{parts}}, x, row_shape(x), stream);
  return x;
}

Activation prepare_rotated(const PrepareArgs& args, cudaStream_t stream) {
  const Activation x = describe(args, false);
  launch_prepare(RotatedSource{{args.x, args.in}}, x, row_shape(x), stream);
  return x;
}

void prepare_long_normed(const RmsNormArgs& norm, int64_t stride, const Activation& x,
                         cudaStream_t stream) {
  launch_prepare(NormSource{norm, stride, 0.0f}, x, {}, stream);
}

void embed(const EmbedArgs& args, cudaStream_t stream) {
  const WeightView& table = args.table;
  if (!is_rotated(table)) {
    const std::string_view name = table.traits().name;
    if (name == "f32") return launch_embed<float>(args, stream);
    if (name == "f16") return launch_embed<__half>(args, stream);
    if (name == "bf16") return launch_embed<__nv_bfloat16>(args, stream);
    fail_call("embeddings of an unknown format");
  }
  const int kind = code_kind(table.format);
  const CodebookTable book = codebook_table(kind, table.group);
  const RotationMasks masks = rotation_masks(table.group);
  const LaunchShape shape{dim3(static_cast<unsigned>(args.tokens)), dim3(kThreads)};
  switch (table.group) {
    case 32:
      return launch("embed", embed_rotated<32>, shape, stream, args, book, masks, kind);
    case 64:
      return launch("embed", embed_rotated<64>, shape, stream, args, book, masks, kind);
    case 128:
      return launch("embed", embed_rotated<128>, shape, stream, args, book, masks, kind);
    case 256:
      return launch("embed", embed_rotated<256>, shape, stream, args, book, masks, kind);
    default:
      fail_call("embeddings of an unknown group");
  }
}

}  // namespace tq::cuda
