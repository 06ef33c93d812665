// Which caches of codes the decode kernel takes (device/coded_decode.cuh), and how many blocks
// share a row's keys.
#include <algorithm>

#include "base/math.h"
#include "kernels/cuda/attention/coded_decode.h"
#include "kernels/cuda/device/deep_pages.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int64_t kFewCodedWarps = 4;    // of a block at least
constexpr int64_t kStaticBytes = 1024;   // of shared memory, that a block takes beside its own
constexpr int64_t kMostCodedParts = 32;  // more take longer to merge than they save

int64_t block_bytes(const AttentionArgs& args, int64_t warps) {
  const int64_t n_factors = args.key_bias.bias != nullptr ? 2 * args.key_bias.n_pairs : 0;
  int64_t bytes = 0;
  with_coded_format(args.kv.format, [&](auto format) {
    bytes = coded_decode_block_bytes<decltype(format)>(args.kv.k_dim, warps, n_factors);
  });
  return bytes;
}

CodedShape coded_shape(const AttentionArgs& args, int64_t max_kv_len) {
  const DeviceInfo& device = device_info();
  CodedShape shape;
  for (int64_t warps = kCodedWarps; warps >= kFewCodedWarps; warps /= 2) {
    const int64_t bytes = block_bytes(args, warps);
    if (bytes + kStaticBytes > device.max_shared_bytes) continue;
    shape.warps = warps;
    shape.shared_bytes = bytes;
    break;
  }
  if (shape.warps == 0) return shape;
  const KvLayerView& kv = args.kv;
  shape.row_tiles = ceil_div(args.n_heads / kv.n_kv_heads, int64_t{kDeepHeads});
  const int64_t heads = kv.n_kv_heads * shape.row_tiles;
  const int64_t per_sm = std::clamp<int64_t>(
      device.max_shared_bytes / (shape.shared_bytes + kStaticBytes), 1, kCodedWarps / shape.warps);
  const int64_t keys = attended_keys(args, max_kv_len);
  const int64_t pages = ceil_div(keys, int64_t{kKvBlockTokens}) + 1;
  const int64_t teams = std::max<int64_t>(1, shape.warps / std::max<int64_t>(1, kv.k_dim / 128));
  shape.shares = std::max<int64_t>(1, device.n_sms * per_sm / heads);
  shape.parts = std::clamp<int64_t>(std::min(shape.shares, pages / teams), 1, kMostCodedParts);
  return shape;
}

}  // namespace

bool supports_coded_decode(const AttentionArgs& args) {
  const KvLayerView& kv = args.kv;
  return kv.k_dim == kv.v_dim && block_bytes(args, kFewCodedWarps) > 0;
}

bool fits_coded_decode(const AttentionArgs& args) { return coded_shape(args, 1).warps > 0; }

size_t coded_decode_bytes(const AttentionArgs& args, int64_t max_seqs, int64_t max_kv_len) {
  if (!supports_coded_decode(args)) return 0;
  return static_cast<size_t>(
      attention_parts_bytes(args, max_seqs * args.n_heads, coded_shape(args, max_kv_len).parts));
}

AttentionParts attention_coded_decode(const AttentionArgs& args, cudaStream_t stream) {
  const CodedShape shape = coded_shape(args, args.batch.max_kv_len);
  const AttentionParts parts = parts_in(workspace_of(args), args, args.batch.n_seqs, shape.parts);
  with_coded_format(args.kv.format, [&](auto format) {
    run_coded_decode<decltype(format)>({args, parts, shape}, stream);
  });
  return parts;
}

}  // namespace tq::cuda
