// Launches the decode kernel for caches of one format of codes. A source for each format is
// generated (TqCuda.cmake).
#pragma once

#include "kernels/cuda/attention/half_book.cuh"
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/coded_decode.cuh"
#include "kernels/cuda/launch.cuh"

namespace tq::cuda {

// Calls use(Layout of the instance for heads of `dim`); false if there is none.
template <typename Format, typename Use>
bool with_coded_layout(int64_t dim, const Use& use) {
  const auto use_if = [&](int64_t own, auto layout) {
    if (own == dim) use(layout);
    return own == dim;
  };
  return use_if(64, CodedLayout<Format, 64, 1>{}) || use_if(128, CodedLayout<Format, 128, 1>{}) ||
         use_if(256, CodedLayout<Format, 128, 2>{}) || use_if(512, CodedLayout<Format, 128, 4>{});
}

template <typename Format>
int64_t coded_decode_block_bytes(int64_t dim, int64_t warps, int64_t n_factors) {
  int64_t bytes = 0;
  with_coded_layout<Format>(dim, [&](auto layout) { bytes = layout.bytes(warps, n_factors); });
  return bytes;
}

template <typename Format, int kDims, int kDimWarps>
void launch_coded_decode(const CodedDecodeCall& call, CodedLayout<Format, kDims, kDimWarps> /*of*/,
                         cudaStream_t stream) {
  constexpr auto kKernel = coded_decode_kernel<Format, kDims, kDimWarps>;
  allow_shared<kKernel>("attention: shared memory", device_info().max_shared_bytes);
  static const HalfBookAndUnit kKeys = half_book(Format::Keys::kBits, kDims);
  static const HalfBookAndUnit kValues = half_book(Format::Values::kBits, kDims);
  const AttentionArgs& args = call.args;
  const CodedShape& shape = call.shape;
  const int64_t seqs = args.batch.n_seqs;
  const DeepParams deep{args,
                        call.parts,
                        {},
                        static_cast<int>(args.n_heads / args.kv.n_kv_heads),
                        static_cast<int>(shape.row_tiles),
                        static_cast<int>(shape.shares)};
  const CodedDecodeParams params{coded_params(args), deep,       rotation_masks(kDims), kKeys.book,
                                 kValues.book,       kKeys.unit, kValues.unit};
  launch(
      "attention", kKernel,
      {dim3(static_cast<unsigned>(std::min(shape.parts * seqs, shape.shares + seqs)),
            static_cast<unsigned>(args.kv.n_kv_heads * shape.row_tiles)),
       dim3(static_cast<unsigned>(shape.warps * kWarp)), static_cast<size_t>(shape.shared_bytes)},
      stream, params);
}

template <typename Format>
void run_coded_decode(const CodedDecodeCall& call, cudaStream_t stream) {
  with_coded_layout<Format>(call.args.kv.k_dim,
                            [&](auto layout) { launch_coded_decode(call, layout, stream); });
}

}  // namespace tq::cuda
