// Picks the attention kernel, and lists the kernels: two for decode steps (few and many keys), one
// for prompts over f16 caches, tensor cores for all 16-bit caches, lanes for fp32, loops for odd
// sizes.
#include <algorithm>
#include <iterator>
#include <string>

#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/attention/coded.h"
#include "kernels/cuda/kernel_list.h"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {
namespace {

// Rows of the split kernels' tiles.
constexpr int64_t kTileRows = 16;
constexpr int64_t kLaneRows = 4;
// Partial results of chunks take no more than this: where they would, a block walks over all.
constexpr int64_t kMostWorkspace = int64_t{128} << 20;

bool uses_mma(const KvLayerView& kv) {
  return supports_mma(kv) && mma_shared_bytes(kv) <= device_info().max_shared_bytes;
}

int64_t most_chunks(const AttentionArgs& args, int64_t tokens, int64_t max_kv_len) {
  const int64_t keys =
      args.window > 0 ? std::min(max_kv_len, args.window + std::min(tokens, kTileRows) + kChunkKeys)
                      : max_kv_len;
  return (keys + kChunkKeys - 1) / kChunkKeys;
}

// Blocks without a split that keep the GPU busy.
int64_t enough_blocks(bool mma) { return int64_t{mma ? 2 : 8} * device_info().n_sms; }

bool picks_decode(const AttentionArgs& args, const AttentionOptions& options) {
  const int64_t seqs = args.batch.n_seqs;
  return seqs == args.batch.tokens && seqs <= options.decode_up_to && supports_decode(args);
}

bool picks_deep(const AttentionArgs& args, const AttentionOptions& options) {
  return picks_decode(args, options) && supports_deep(args, args.batch.max_kv_len);
}

AttentionParts run_decode(const AttentionArgs& args, const ProjectedInputs& inputs,
                          cudaStream_t stream) {
  return supports_deep(args, args.batch.max_kv_len) && fits_deep(args.kv)
             ? attention_deep(args, inputs, stream)
             : attention_decode(args, inputs, stream);
}

void run_decode_alone(const AttentionArgs& args, const AttentionOptions& /*options*/,
                      cudaStream_t stream) {
  merge_parts(run_decode(args, {}, stream), args, args.batch.tokens, stream);
}

// Whether a decode step's kernel can leave parts to the rotation of what comes next.
bool fuses_decode(const AttentionArgs& args, const AttentionOptions& options,
                  const PrepareArgs& next, bool exact) {
  return !exact && next.form == InputForm::kRotated && picks_decode(args, options);
}

// Chunks that blocks share, or 0 when there are tiles enough.
int64_t split_chunks(const AttentionArgs& args, const AttentionOptions& options) {
  const bool mma = uses_mma(args.kv);
  if (mma ? options.counters == nullptr : !supports_lanes(args.kv)) return 0;
  const int64_t chunks = most_chunks(args, args.batch.tokens, args.batch.max_kv_len);
  const int64_t tiles = most_tiles(args, args.batch.tokens, mma ? kTileRows : kLaneRows);
  // A short prompt's few chunks take less time one after the other than their merge does.
  constexpr int64_t kFewChunks = 4;
  if (mma && chunks <= kFewChunks && tiles * args.kv.n_kv_heads * chunks >= device_info().n_sms) {
    return 0;
  }
  return chunks > 1 && tiles * args.kv.n_kv_heads < enough_blocks(mma) &&
                 attention_parts_bytes(args, args.batch.tokens * args.n_heads, chunks) <=
                     kMostWorkspace
             ? chunks
             : 0;
}

bool picks_prompt(const AttentionArgs& args, const AttentionOptions& options) {
  return options.fast_prompts && args.batch.tokens > args.batch.n_seqs && supports_prompt(args);
}

AttentionParams params_of(const AttentionArgs& args, const AttentionOptions& options) {
  return {args, args.batch.tokens, split_chunks(args, options), workspace_of(args),
          options.counters};
}

struct AttentionKernel {
  const char* name;
  const char* when;  // besides its supports(), and what the GPU's shared memory holds
  bool (*supports)(const AttentionArgs& args, const AttentionOptions& options);
  bool (*fits)(const KvLayerView& kv);  // this GPU
  void (*run)(const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream);
};
bool fits_always(const KvLayerView& /*kv*/) { return true; }

// As they are tried.
constexpr AttentionKernel kKernels[] = {
    {"deep", "not with --batch-invariant", picks_deep, fits_deep, run_decode_alone},
    {"decode", "one token a sequence; not with --batch-invariant", picks_decode, fits_always,
     run_decode_alone},
    {"prompt", "not with --batch-invariant or --exact", picks_prompt, fits_prompt,
     [](const AttentionArgs& args, const AttentionOptions&, cudaStream_t stream) {
       const AttentionParts parts = attention_prompt(args, stream);
       if (parts.n > 0) merge_parts(parts, args, args.batch.tokens, stream);
     }},
    {"mma", "16-bit caches",
     [](const AttentionArgs& args, const AttentionOptions&) { return supports_mma(args.kv); },
     uses_mma,
     [](const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream) {
       attention_mma(params_of(args, options), stream);
     }},
    {"lanes", "",
     [](const AttentionArgs& args, const AttentionOptions&) { return supports_lanes(args.kv); },
     fits_always,
     [](const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream) {
       attention_lanes(params_of(args, options), stream);
     }},
    {"reference", "", [](const AttentionArgs&, const AttentionOptions&) { return true; },
     fits_always,
     [](const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream) {
       attention_reference(params_of(args, options), stream);
     }},
};

// What is listed: decode steps over few and many keys, and prompts.
struct ListedOp {
  const char* name;
  bool decode;
  int64_t keys;
};

// A step of `tokens` tokens, one a sequence or all of one, that nothing but the cache's type
// limits.
struct ImaginedStep {
  AttentionArgs args = {};
  AttentionOptions options = {};
  ImaginedStep(KvFormatId format, int64_t tokens, const ListedOp& op) {
    args.kv = {.format = format, .n_kv_heads = 1, .k_dim = 128, .v_dim = 128};
    args.kv.v = args.kv.k = &args;  // planes of their own; never read
    args.batch.n_seqs = op.decode ? tokens : 1;
    args.batch.tokens = tokens;
    args.batch.max_kv_len = op.keys;
    args.n_heads = 1;
    args.scale = 1;
    options = {nullptr, kMostDecodeSeqs, true};
  }
};

void list_kernels(const ListedOp& op, KvFormatId format, std::vector<KernelUse>& uses) {
  constexpr int64_t kMostTokens = 4096;
  const auto picks = [&](const AttentionKernel& kernel, int64_t tokens) {
    const ImaginedStep step(format, op.decode ? tokens : tokens + 1, op);
    return kernel.supports(step.args, step.options);
  };
  std::vector<bool> taken(kMostTokens + 1);  // by a kernel before
  for (const AttentionKernel& kernel : kKernels) {
    if (!picks(kernel, 1)) continue;
    KernelUse use{op.name,     "kv " + std::string(kv_format_traits(format).name),
                  0,           "any",
                  kernel.name, kernel.when};
    for (int64_t tokens = 1; tokens <= kMostTokens; ++tokens) {
      const auto at = static_cast<size_t>(tokens);
      if (taken[at] || !picks(kernel, tokens)) continue;
      taken[at] = true;
      if (use.to == 0) use.from = tokens;
      use.to = tokens == kMostTokens ? -1 : tokens;
    }
    uses.push_back(use);
  }
}

// Caches of codes have kernels of their own (coded.cu).
void list_coded_kernels(const ListedOp& op, KvFormatId format, std::vector<KernelUse>& uses) {
  const std::string name = "kv " + std::string(kv_format_traits(format).name);
  // Rows take the rest, and what the others do not.
  if (op.decode) {
    uses.push_back({op.name, name, 0, "any", "coded decode",
                    "heads of 64, 128, 256, 512; not with --batch-invariant", 1, kMostDecodeSeqs});
    uses.push_back({op.name, name, 0, "any", "coded rows", "", kMostDecodeSeqs + 1, -1});
  } else {
    uses.push_back({op.name, name, 0, "any", "coded prompt",
                    "the same heads, no bias of keys; not with --batch-invariant or --exact", 1,
                    -1});
    uses.push_back({op.name, name, 0, "any", "coded rows", "", 0, 0});
  }
}

template <typename... Formats>
void list_kernels(const ListedOp& op, std::vector<KernelUse>& uses, FormatList<Formats...>) {
  const auto list = [&](KvFormatId format) {
    if (is_coded(format)) return list_coded_kernels(op, format, uses);
    list_kernels(op, format, uses);
  };
  (list(kv_format_id<Formats>()), ...);
}

}  // namespace

std::vector<KernelUse> list_attention_kernels() {
  std::vector<KernelUse> uses;
  for (const ListedOp& op : {ListedOp{"attention of a decode step", true, 1},
                             ListedOp{"attention over many keys", true, 32768},
                             ListedOp{"attention of a prompt", false, 1}}) {
    list_kernels(op, uses, CudaKvFormats{});
  }
  return uses;
}

size_t attention_bytes(const AttentionArgs& args) {
  if (is_coded(args.kv.format)) return attention_coded_bytes(args);
  const int64_t tokens = args.batch.tokens, max_kv_len = args.batch.max_kv_len;
  const bool mma = uses_mma(args.kv);
  if (!mma && !supports_lanes(args.kv)) return 0;
  const int64_t most_seqs = std::min({args.batch.n_seqs, tokens, kMostDecodeSeqs});
  // Rows of fewer tiles than are enough.
  const int64_t rows =
      std::min(tokens * args.n_heads, enough_blocks(mma) * (mma ? kTileRows : kLaneRows));
  const auto split = static_cast<size_t>(std::min(
      attention_parts_bytes(args, rows, most_chunks(args, tokens, max_kv_len)), kMostWorkspace));
  return std::max({split, attention_decode_bytes(args, most_seqs, max_kv_len),
                   attention_deep_bytes(args, most_seqs, max_kv_len),
                   attention_prompt_bytes(args)});
}

int64_t attention_counters() { return enough_blocks(/*mma=*/true); }

void attention(const AttentionArgs& args, const AttentionOptions& options, cudaStream_t stream) {
  const KvLayerView& kv = args.kv;
  if (kv.k_dim > kMaxHeadDim || kv.v_dim > kMaxHeadDim || args.n_heads % kv.n_kv_heads != 0) {
    fail_call("attention over heads of a size that no kernel has");
  }
  if (is_coded(kv.format)) return attention_coded(args, options, stream);
  for (const AttentionKernel& kernel : kKernels) {
    if (kernel.supports(args, options) && kernel.fits(kv)) return kernel.run(args, options, stream);
  }
}

Activation attention_prepared(const AttentionArgs& args, const AttentionOptions& options,
                              const PrepareArgs& next, bool exact, cudaStream_t stream) {
  if (is_coded(args.kv.format)) {
    return attention_coded_prepared(args, options, next, exact, stream);
  }
  if (fuses_decode(args, options, next, exact)) {
    return prepare_parts(run_decode(args, {}, stream), next, stream);
  }
  if (!exact && next.form == InputForm::kRotated && picks_prompt(args, options) &&
      fits_prompt(args.kv)) {
    const AttentionParts parts = attention_prompt(args, stream);
    if (parts.n > 0) return prepare_parts(parts, next, stream);
    return prepare(next, exact, stream);
  }
  attention(args, options, stream);
  return prepare(next, exact, stream);
}

Activation attention_prepared(const AttentionInputsArgs& inputs, const AttentionArgs& args,
                              const AttentionOptions& options, const PrepareArgs& next, bool exact,
                              cudaStream_t stream) {
  const bool alike = inputs.kv.k_dim == inputs.kv.v_dim && inputs.kv.v != nullptr;
  if (alike && fuses_decode(args, options, next, exact)) {
    const ProjectedInputs projected{ProjectedInputs::Kind::kHeads, inputs, {}};
    return prepare_parts(run_decode(args, projected, stream), next, stream);
  }
  attention_inputs(inputs, stream);
  return attention_prepared(args, options, next, exact, stream);
}

Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                              const AttentionOptions& options, const PrepareArgs& next, bool exact,
                              cudaStream_t stream) {
  // Every block of a sequence norms its latent: with many sequences that takes longer than a
  // kernel.
  constexpr int64_t kFewSeqs = 8;
  if (args.batch.tokens <= kFewSeqs && fuses_decode(args, options, next, exact)) {
    const ProjectedInputs projected{ProjectedInputs::Kind::kLatent, {}, inputs};
    return prepare_parts(run_decode(args, projected, stream), next, stream);
  }
  latent_inputs(inputs, stream);
  return attention_prepared(args, options, next, exact, stream);
}

}  // namespace tq::cuda
