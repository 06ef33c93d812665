// Which prompts over caches of codes the fast kernel takes (device/coded_prompt.cuh), and how many
// blocks share a tile's keys.
#include <algorithm>

#include "kernels/cuda/attention/coded_prompt.h"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

constexpr int64_t kStaticBytes = 4096;  // of shared memory, and more than is used

CodedPromptBlock block_of(const AttentionArgs& args) {
  CodedPromptBlock block;
  with_coded_format(args.kv.format, [&](auto format) {
    block = coded_prompt_block<decltype(format)>(args.kv.k_dim);
  });
  return block;
}

// Blocks that the GPU holds at once, about.
int64_t room_of(const CodedPromptBlock& block) { return block.of_sm * device_info().n_sms; }

}  // namespace

bool takes_coded_prompt(const AttentionArgs& args) {
  const CodedPromptBlock block = block_of(args);
  return args.kv.k_dim == args.kv.v_dim && args.key_bias.bias == nullptr && args.scale > 0 &&
         block.rows > 0 && block.shared_bytes + kStaticBytes <= device_info().max_shared_bytes;
}

size_t coded_prompt_bytes(const AttentionArgs& args) {
  const CodedPromptBlock block = block_of(args);
  return static_cast<size_t>(attention_parts_bytes(args, room_of(block) * block.rows, 1));
}

AttentionParts attention_coded_prompt(const AttentionArgs& args, cudaStream_t stream) {
  constexpr int64_t kLeastKeys = 512;  // fewer take less time than their merge
  const CodedPromptBlock block = block_of(args);
  const int64_t max_kv_len = args.batch.max_kv_len;
  const int64_t keys = attended_keys(args, max_kv_len);
  const int64_t blocks = most_tiles(args, args.batch.tokens, block.rows) * args.kv.n_kv_heads;
  const int64_t n =
      std::clamp<int64_t>(std::min(room_of(block) / blocks, keys / kLeastKeys), 1, kMostParts);
  AttentionParts parts;
  if (n > 1) parts = parts_in(workspace_of(args), args, args.batch.tokens, n);
  with_coded_format(args.kv.format,
                    [&](auto format) { run_coded_prompt<decltype(format)>(args, parts, stream); });
  return parts;
}

}  // namespace tq::cuda
