// Caches of codes (kv_formats.h: CodedKvFormats): what their kernels share. Private to
// kernels/cuda.
//
// All arithmetic is in the rotated basis of the codes: kernels rotate a query when they fetch it,
// and what they leave is rotated back once (coded.cu), or never where the next product
// rotates alike. Near pages therefore hold rotated vectors, too, as f16: the GPU alone reads what
// it wrote there.
#pragma once

#include "kernels/cuda/attention/attention.h"

namespace tq::cuda {

// As attention_inputs() and kv_store().
void coded_inputs(const AttentionInputsArgs& args, cudaStream_t stream);
void coded_store(const KvStoreArgs& args, cudaStream_t stream);

size_t attention_coded_bytes(const AttentionArgs& args);
// In the plain basis to args.out.
void attention_coded(const AttentionArgs& args, const AttentionOptions& options,
                     cudaStream_t stream);
// The same, and prepare(next) of it.
Activation attention_coded_prepared(const AttentionArgs& args, const AttentionOptions& options,
                                    const PrepareArgs& next, bool exact, cudaStream_t stream);

// --- The kernels ---

struct CodedParams {
  AttentionArgs args;  // whose kv.near is the host's
  KvLayerView near;    // k null: there is none
};
inline CodedParams coded_params(const AttentionArgs& args) {
  return {args, args.kv.near != nullptr ? *args.kv.near : KvLayerView{}};
}

// For all sizes: a warp a row. Outputs are in args.out, in the rotated basis.
void attention_coded_rows(const AttentionArgs& args, cudaStream_t stream);

}  // namespace tq::cuda
