// Launches attention of decode steps over many keys (device/deep.cuh): which instance a cache
// takes, the shape of its blocks, and how many share a row's keys.
#include <algorithm>

#include "base/math.h"
#include "kernels/cuda/device/deep.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int64_t kFewWarps = 4;        // of a block at least
constexpr int64_t kStaticBytes = 1024;  // of shared memory, and more than is used
constexpr int64_t kMostDeepParts = 32;  // more take longer to merge than they save
// Measured on an H200 (docs/gpu-kernels.md), with keys alone and of all sequences together.
constexpr int64_t kFewKeys = 512;
constexpr int64_t kManyKeys = 2048;
constexpr int64_t kPairsFrom = 24;  // pages of a team, if a block had all

// How a step is cut into blocks.
struct DeepShape {
  int64_t tiles = 0;  // of 8 heads, of a block
  int64_t warps = 0;
  int64_t shared_bytes = 0;
  int64_t row_tiles = 0;   // blocks of a kv head's group
  int64_t cluster = 1;     // blocks that merge their sums in shared memory
  int64_t shares = 1;      // clusters that share the keys of all sequences
  int64_t parts = 1;       // of a row's keys at most
  int64_t most_parts = 1;  // the same over fewer keys
};

// Calls use(Layout of the instance); false if none takes the cache.
template <int kDimWarps, bool kLatent, typename Use>
bool with_tiles(int64_t tiles, const Use& use) {
  if (tiles == 1) return use(DeepLayout<kDimWarps, 1, kLatent>{}), true;
  constexpr int kMany = kLatent ? 3 : 2;
  return use(DeepLayout<kDimWarps, kMany, kLatent>{}), true;
}

int dim_warps(const KvLayerView& kv) {
  if (kv.v == nullptr) return 4;
  return kv.k_dim <= 128 ? 1 : kv.k_dim <= 256 ? 2 : 4;
}

int64_t block_bytes(const KvLayerView& kv, int64_t tiles, int64_t warps, bool made) {
  int64_t bytes = 0;
  const auto use = [&](auto layout) {
    bytes = layout.bytes(static_cast<int>(warps), static_cast<int>(kv.k_dim), made);
  };
  if (kv.v == nullptr) {
    with_tiles<4, true>(tiles, use);
  } else if (dim_warps(kv) == 1) {
    with_tiles<1, false>(tiles, use);
  } else if (dim_warps(kv) == 2) {
    with_tiles<2, false>(tiles, use);
  } else {
    with_tiles<4, false>(tiles, use);
  }
  return bytes;
}

int64_t most_shared_bytes() { return device_info().max_shared_bytes - kStaticBytes; }

DeepShape deep_shape(const AttentionArgs& args, int64_t seqs, int64_t max_kv_len) {
  const KvLayerView& kv = args.kv;
  const DeviceInfo& device = device_info();
  const int64_t group = args.n_heads / kv.n_kv_heads;
  const int64_t many = kv.v == nullptr ? 3 : 2;
  DeepShape shape;
  for (const int64_t tiles : {group <= kDeepHeads ? int64_t{1} : many, int64_t{1}}) {
    for (int64_t warps = kDeepWarps; warps >= kFewWarps && shape.tiles == 0; warps /= 2) {
      const int64_t bytes = block_bytes(kv, tiles, warps, true);
      if (bytes > most_shared_bytes()) continue;
      shape.tiles = tiles;
      shape.warps = warps;
      shape.shared_bytes = bytes;
    }
  }
  shape.row_tiles = ceil_div(group, shape.tiles * kDeepHeads);
  const int64_t heads = kv.n_kv_heads * shape.row_tiles;
  // An SM has 1 KiB of shared memory more than a block can have, and each block takes as much.
  const int64_t per_sm =
      std::max<int64_t>(1, device.max_shared_bytes / (shape.shared_bytes + kStaticBytes));
  const int64_t room = device.n_sms * std::min(per_sm, kDeepWarps / shape.warps);
  const int64_t pages = ceil_div(attended_keys(args, max_kv_len), kKvBlockTokens) + 1;
  const int64_t teams = shape.warps / dim_warps(kv);
  const int64_t useful = std::max<int64_t>(1, pages / teams);  // blocks of a row: a page a team
  shape.most_parts = std::clamp<int64_t>(std::min(room / heads, useful), 1, kMostDeepParts);
  // More blocks in a cluster leave SMs idle, as not all of a GPU's parts have a multiple of four;
  // and among several sequences pairs waste what is left over.
  if (device.code >= 90 && useful >= kPairsFrom && (seqs == 1 || heads == 1) &&
      room >= kDeepCluster * heads * seqs) {
    shape.cluster = kDeepCluster;
  }
  shape.shares = std::max<int64_t>(1, room / shape.cluster / heads);
  shape.parts =
      std::clamp<int64_t>(std::min(shape.shares, useful / shape.cluster), 1, kMostDeepParts);
  return shape;
}

template <typename T, int kDimWarps, int kTiles, bool kLatent>
void launch_deep(const DeepParams& p, const DeepShape& shape, cudaStream_t stream) {
  constexpr auto kKernel = attention_deep_kernel<T, kDimWarps, kTiles, kLatent>;
  allow_shared<kKernel>("attention: shared memory", device_info().max_shared_bytes);
  const int64_t seqs = p.args.batch.n_seqs;
  const int64_t clusters = std::min(shape.parts * seqs, shape.shares + seqs);
  launch("attention", kKernel,
         {dim3(static_cast<unsigned>(clusters * shape.cluster),
               static_cast<unsigned>(p.args.kv.n_kv_heads * shape.row_tiles)),
          dim3(static_cast<unsigned>(shape.warps * kWarp)), static_cast<size_t>(shape.shared_bytes),
          static_cast<unsigned>(shape.cluster)},
         stream, p);
}

template <typename T, int kDimWarps, bool kLatent>
void pick_tiles(const DeepParams& p, const DeepShape& shape, cudaStream_t stream) {
  if (shape.tiles == 1) return launch_deep<T, kDimWarps, 1, kLatent>(p, shape, stream);
  launch_deep<T, kDimWarps, kLatent ? 3 : 2, kLatent>(p, shape, stream);
}

template <typename T>
void pick_size(const DeepParams& p, const DeepShape& shape, cudaStream_t stream) {
  const KvLayerView& kv = p.args.kv;
  if (kv.v == nullptr) return pick_tiles<T, 4, true>(p, shape, stream);
  if (dim_warps(kv) == 1) return pick_tiles<T, 1, false>(p, shape, stream);
  if (dim_warps(kv) == 2) return pick_tiles<T, 2, false>(p, shape, stream);
  pick_tiles<T, 4, false>(p, shape, stream);
}

}  // namespace

bool supports_deep(const AttentionArgs& args, int64_t max_kv_len) {
  const KvLayerView& kv = args.kv;
  const int64_t keys = attended_keys(args, max_kv_len);
  constexpr int64_t kLargeGroup = 4;
  const bool many = keys > kFewKeys || (args.n_heads >= kLargeGroup * kv.n_kv_heads &&
                                        args.batch.n_seqs * keys >= kManyKeys);
  return many && kv_number_bytes(kv.format) == 2 && kv.k_dim % 8 == 0 && kv.v_dim % 8 == 0 &&
         (kv.v == nullptr ? kv.k_dim <= 576 && kv.v_dim <= 512 && kv.v_dim <= kv.k_dim
                          : kv.k_dim <= 512 && kv.v_dim == kv.k_dim);
}

bool fits_deep(const KvLayerView& kv) {
  return block_bytes(kv, 1, kFewWarps, true) <= most_shared_bytes();
}

size_t attention_deep_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len) {
  if (!supports_deep(args, max_kv_len) || !fits_deep(args.kv)) return 0;
  int64_t bytes = 0;
  for (int64_t seqs = 1; seqs <= max_seqs; ++seqs) {
    const int64_t parts = deep_shape(args, seqs, max_kv_len).most_parts;
    bytes = std::max(bytes, attention_parts_bytes(args, seqs * args.n_heads, parts));
  }
  return static_cast<size_t>(bytes);
}

AttentionParts attention_deep(const AttentionArgs& args, const ProjectedInputs& inputs,
                              cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  const int64_t seqs = args.batch.n_seqs;
  const DeepShape shape = deep_shape(args, seqs, args.batch.max_kv_len);
  const AttentionParts parts = parts_in(workspace_of(args), args, seqs, shape.parts);
  const DeepParams params{args,
                          parts,
                          inputs,
                          static_cast<int>(args.n_heads / kv.n_kv_heads),
                          static_cast<int>(shape.row_tiles),
                          static_cast<int>(shape.shares)};
  with_kv_format16(kv.format, [&](auto numbers) {
    pick_size<typename decltype(numbers)::Type>(params, shape, stream);
  });
  return parts;
}

}  // namespace tq::cuda
