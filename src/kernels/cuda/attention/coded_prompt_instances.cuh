// Launches the prompt kernel for caches of one format of codes. A source for each format is
// generated (TqCuda.cmake).
#pragma once

#include "kernels/cuda/attention/half_book.cuh"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/coded_prompt.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {

// Calls use() of the instance's head size as a constant; false if there is none.
template <typename Use>
bool with_prompt_dim(int64_t dim, const Use& use) {
  const auto use_if = [&](auto own) {
    if (own.value == dim) use(own);
    return own.value == dim;
  };
  return use_if(std::integral_constant<int, 64>{}) || use_if(std::integral_constant<int, 128>{}) ||
         use_if(std::integral_constant<int, 256>{}) || use_if(std::integral_constant<int, 512>{});
}

template <typename Format>
CodedPromptBlock coded_prompt_block(int64_t dim) {
  CodedPromptBlock block;
  with_prompt_dim(dim, [&](auto own) {
    using Shape = CodedPromptShape<Format, own.value>;
    block = {Shape::kRows, Shape::kBytes, Shape::kBlocks};
  });
  return block;
}

template <typename Format>
void run_coded_prompt(const AttentionArgs& args, const AttentionParts& parts, cudaStream_t stream) {
  with_prompt_dim(args.kv.k_dim, [&](auto own) {
    constexpr int kDim = own.value;
    constexpr int kGroup = kDim < 128 ? kDim : 128;
    using Shape = CodedPromptShape<Format, kDim>;
    constexpr auto kKernel = coded_prompt_kernel<Format, kDim>;
    allow_shared<kKernel>("attention: shared memory", Shape::kBytes);
    static const HalfBookAndUnit kKeys = half_book(Format::Keys::kBits, kGroup);
    static const HalfBookAndUnit kValues = half_book(Format::Values::kBits, kGroup);
    const CodedPromptParams params{coded_params(args), parts,        rotation_masks(kGroup),
                                   kKeys.book,         kValues.book, kKeys.unit,
                                   kValues.unit};
    launch("attention", kKernel,
           {dim3(static_cast<unsigned>(args.kv.n_kv_heads),
                 static_cast<unsigned>(most_tiles(args, args.batch.tokens, Shape::kRows)),
                 static_cast<unsigned>(std::max(parts.n, 1))),
            dim3(Shape::kThreads), static_cast<size_t>(Shape::kBytes)},
           stream, params);
  });
}

}  // namespace tq::cuda
