// Launches attention of prompts over f16 caches (device/prompt.cuh): which instance a cache takes,
// and how many blocks share a tile's keys.
#include <algorithm>

#include "kernels/cuda/device/prompt.cuh"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int kStaticBytes = 1024;  // of shared memory, and more than is used

template <int kKeyDim, int kValueDim, bool kLatent>
struct Launcher {
  using Shape = PromptShape<kKeyDim, kValueDim, kLatent>;
  static bool takes(const KvLayerView& kv) {
    return kv.k_dim <= kKeyDim && kv.v_dim <= kValueDim && (kv.v == nullptr) == kLatent;
  }
  static bool fits() { return Shape::kBytes + kStaticBytes <= device_info().max_shared_bytes; }
  static void run(const PromptParams& p, int64_t tokens, cudaStream_t stream) {
    constexpr auto kKernel = attention_prompt_kernel<kKeyDim, kValueDim, kLatent>;
    allow_shared<kKernel>("attention: shared memory", Shape::kBytes);
    launch("attention", kKernel,
           {dim3(static_cast<unsigned>(p.args.kv.n_kv_heads),
                 static_cast<unsigned>(most_tiles(p.args, tokens, kPromptRows)),
                 static_cast<unsigned>(std::max(p.parts.n, 1))),
            dim3(Shape::kThreads), static_cast<size_t>(Shape::kBytes)},
           stream, p);
  }
};

// Calls use(launcher) of the smallest that takes the cache; false if none does.
template <typename Use>
bool with_launcher(const KvLayerView& kv, Use use) {
  const auto try_one = [&](auto launcher) {
    if (!launcher.takes(kv)) return false;
    use(launcher);
    return true;
  };
  return try_one(Launcher<64, 64, false>{}) || try_one(Launcher<128, 128, false>{}) ||
         try_one(Launcher<256, 256, false>{}) || try_one(Launcher<512, 512, false>{}) ||
         try_one(Launcher<576, 512, true>{});
}

// Blocks that the GPU holds at once, about.
int64_t room(const AttentionArgs& args) {
  return int64_t{blocks_of(args.kv.v_dim)} * device_info().n_sms;
}

// Blocks that share a tile's keys; 1: none do. Each has some chunks to walk over.
int64_t parts_for(const AttentionArgs& args, int64_t tokens, int64_t max_kv_len) {
  constexpr int64_t kLeastChunks = 8;  // fewer take less time than their merge
  const int64_t keys = attended_keys(args, max_kv_len);
  const int64_t blocks = most_tiles(args, tokens, kPromptRows) * args.kv.n_kv_heads;
  return std::clamp<int64_t>(std::min(room(args) / blocks, keys / (kLeastChunks * kChunkKeys)), 1,
                             kMostParts);
}

}  // namespace

bool supports_prompt(const AttentionArgs& args) {
  const KvLayerView& kv = args.kv;
  return holds_numbers<__half>(kv.format) && kv.k_dim % 8 == 0 && kv.v_dim % 8 == 0 &&
         args.scale > 0 && with_launcher(kv, [](auto) {});
}

bool fits_prompt(const KvLayerView& kv) {
  bool fits = false;
  with_launcher(kv, [&](auto launcher) { fits = launcher.fits(); });
  return fits;
}

size_t attention_prompt_bytes(const AttentionArgs& args) {
  return static_cast<size_t>(attention_parts_bytes(args, room(args) * kPromptRows, 1));
}

AttentionParts attention_prompt(const AttentionArgs& args, cudaStream_t stream) {
  PromptParams params{args, {}};
  const int64_t n = parts_for(args, args.batch.tokens, args.batch.max_kv_len);
  if (n > 1) params.parts = parts_in(workspace_of(args), args, args.batch.tokens, n);
  with_launcher(args.kv, [&](auto launcher) { launcher.run(params, args.batch.tokens, stream); });
  return params.parts;
}

}  // namespace tq::cuda
