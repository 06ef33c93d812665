// What brings activations into the form a matmul reads: embedding rows, the rotation, and its
// int8 quantisation.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "format/hadamard.h"
#include "kernels/cpu/generic.h"
#include "kernels/cpu/vector_math.h"

namespace tq::generic {
namespace {

constexpr int64_t kMaxGroup = 256;

// Row `row` in the plain basis, group by group if there are any.
template <typename F>
void embed_row(const WeightView& table, int64_t row, float* out) {
  const uint8_t* codes = table.code_row(row);
  if constexpr (!F::kHasScales) {
    F::decode_row(codes, nullptr, table.in, 0, out);
  } else {
    alignas(64) float values[kMaxGroup];
    const uint16_t* gains = table.gain_row(row);
    for (int64_t i = 0; i < table.in; i += table.group) {
      F::decode_row(codes + F::code_row_bytes(i), gains + i / table.group, table.group, table.group,
                    values);
      if constexpr (F::kInput == InputForm::kRotated) unrotate_group(values, table.group);
      std::copy_n(values, std::min<int64_t>(table.group, table.in - i), out + i);
    }
  }
}

template <typename F>
void embed(const EmbedArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    float* out = args.out + t * args.table.in;
    embed_row<F>(args.table, args.ids[t], out);
    for (int64_t i = 0; i < args.table.in; ++i) out[i] *= args.scale;
  }
}

// Group g of token t, zero-padded and rotated.
void rotate_into(const RotateArgs& args, int64_t t, int64_t g, float* out) {
  const int64_t first = g * args.group;
  const int64_t n = std::clamp<int64_t>(args.in - first, 0, args.group);
  std::copy_n(args.x + t * args.in + first, n, out);
  std::fill(out + n, out + args.group, 0.0f);
  rotate_group(out, args.group);
}

void rotate(const RotateArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t g = 0; g < args.in_padded / args.group; ++g) {
      rotate_into(args, t, g, args.f32 + t * args.in_padded + g * args.group);
    }
  }
}

// Returns the scale. A NaN or an infinity makes it one, so that a fault upstream stays visible.
float quantize_group(const float* x, int group, int8_t* q8) {
  // Magnitudes compare like the integers of their bits; integer maxima vectorise.
  int32_t max_bits = 0;
  for (int i = 0; i < group; ++i) {
    max_bits = std::max(max_bits, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  }
  const float max = std::bit_cast<float>(max_bits);
  const float inverse = max > 1e-30f ? 127.0f / max : 0.0f;
  for (int i = 0; i < group; ++i) q8[i] = static_cast<int8_t>(round_to_int(x[i] * inverse));
  return max / 127.0f;
}

void rotate_quantize(const RotateArgs& args, int64_t begin, int64_t end) {
  alignas(64) float values[kMaxGroup];
  const int64_t n_groups = args.in_padded / args.group;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t g = 0; g < n_groups; ++g) {
      rotate_into(args, t, g, values);
      args.q8_scale[t * n_groups + g] =
          quantize_group(values, args.group, args.q8 + t * args.in_padded + g * args.group);
    }
  }
}

template <typename... F>
void fill_embed(FormatList<F...> /*formats*/, CpuKernels& table) {
  table.embed = {embed<F>...};
}

}  // namespace

void fill_inputs(CpuKernels& table) {
  fill_embed(AllFormats{}, table);
  table.rotate = rotate;
  table.rotate_quantize = rotate_quantize;
}

}  // namespace tq::generic
