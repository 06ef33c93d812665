// How prepared activations lie in the caller's storage. Private to kernels/cuda.
#pragma once

#include "kernels/cuda/ops.h"

namespace tq::cuda {

// Where a kernel puts a prepared row.
struct RotateParams {
  int64_t in;
  int64_t in_padded;
  float* f32;  // exact, or
  int8_t* q8;  // quantised
  float* q8_scale;
};

inline size_t scale_bytes(int64_t tokens, int64_t in_padded, int group) {
  constexpr size_t kAlignment = 16;
  const size_t bytes = static_cast<size_t>(tokens * (in_padded / group)) * sizeof(float);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

inline Activation describe_rows(const PrepareArgs& args, int group) {
  Activation x;
  x.form = args.form;
  x.tokens = args.tokens;
  x.in = args.in;
  x.in_padded = args.in_padded;
  x.group = group;
  return x;
}

inline Activation describe(const PrepareArgs& args, bool exact) {
  Activation x = describe_rows(args, args.group);
  if (exact) {
    x.f32 = static_cast<float*>(args.storage);
  } else {
    x.q8_scale = static_cast<float*>(args.storage);
    x.q8 =
        static_cast<int8_t*>(args.storage) + scale_bytes(args.tokens, args.in_padded, args.group);
  }
  return x;
}

inline RotateParams rotate_params(const Activation& x) {
  return {x.in, x.in_padded, const_cast<float*>(x.f32), const_cast<int8_t*>(x.q8),
          const_cast<float*>(x.q8_scale)};
}

// Prepares rows that were left to a product which does not do it.
Activation prepare_now(const Activation& later, cudaStream_t stream);

// prepare_normed() of rows that one block cannot hold (inputs.cu).
void prepare_long_normed(const RmsNormArgs& norm, int64_t stride, const Activation& x,
                         cudaStream_t stream);

}  // namespace tq::cuda
