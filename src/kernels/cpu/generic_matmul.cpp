// Matrix products in portable C++. Both kernels decode a block of weights, small enough for the
// first-level cache, and multiply it with every token of the batch before they go on: a prefill
// decodes each weight once. An output is a sum over blocks of kBlockIn inputs in ascending order,
// whatever the batch and the range of rows, so its bits depend on neither.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/float16.h"
#include "format/codebook.h"
#include "kernels/cpu/generic.h"
#include "kernels/cpu/vector_math.h"

namespace tq::generic {
namespace {

constexpr int64_t kBlockRows = 16;
constexpr int64_t kBlockIn = 512;  // a multiple of every group
constexpr int64_t kMinGroup = 32;
constexpr int kTileRows = 4;  // rows multiplied at a time: their sums fit the registers

// A part of a weight matrix: rows [row, row + rows), inputs [in, in + size).
struct Block {
  int64_t row;
  int64_t rows;
  int64_t in;
  int64_t size;
};

// Calls run(block) for all blocks of rows [begin, end); the inputs of a row ascend.
template <typename Run>
void for_each_block(const WeightView& weight, int64_t begin, int64_t end, Run run) {
  for (int64_t row = begin; row < end; row += kBlockRows) {
    for (int64_t in = 0; in < weight.in_padded; in += kBlockIn) {
      run(Block{row, std::min(kBlockRows, end - row), in,
                std::min(kBlockIn, weight.in_padded - in)});
    }
  }
}

// Calls dot(std::integral_constant<int, n>, r) for rows r .. r + n - 1 of the block and adds the n
// sums it returns to their outputs of one token.
template <typename Dot>
void add_products(const MatmulArgs& args, const Block& block, int64_t token, Dot dot) {
  const int64_t stride = args.out_stride > 0 ? args.out_stride : args.weight.rows;
  float* out = args.out + args.out_rows[token] * stride + block.row;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + block.row;
  const bool first = block.in == 0;
  const auto add = [&](auto n_rows, int64_t r) {
    const auto sums = dot(n_rows, r);
    for (int i = 0; i < n_rows; ++i) {
      float base = first && !args.accumulate ? 0.0f : out[r + i];
      if (first && bias != nullptr) base += bias[r + i];
      out[r + i] = base + sums[static_cast<size_t>(i)];
    }
  };
  int64_t r = 0;
  for (; r + kTileRows <= block.rows; r += kTileRows) {
    add(std::integral_constant<int, kTileRows>{}, r);
  }
  for (; r < block.rows; ++r) add(std::integral_constant<int, 1>{}, r);
}

// Weights are decoded to fp32, gain included. inputs(token, block): the block's activations. Plain
// ones have no padding.
template <typename F, typename Inputs>
void multiply_decoded(const MatmulArgs& args, int64_t begin, int64_t end, Inputs inputs) {
  alignas(64) float weights[kBlockRows * kBlockIn];
  const WeightView& weight = args.weight;
  for_each_block(weight, begin, end, [&](const Block& block) {
    for (int64_t r = 0; r < block.rows; ++r) {
      const uint16_t* gains = weight.gain_row(block.row + r);
      F::decode_row(weight.code_row(block.row + r) + F::code_row_bytes(block.in),
                    gains == nullptr ? nullptr : gains + block.in / weight.group, block.size,
                    weight.group, weights + r * kBlockIn);
    }
    const int64_t size =
        F::kInput == InputForm::kPlain ? std::min(block.size, weight.in - block.in) : block.size;
    for (int64_t t = 0; t < args.x.tokens; ++t) {
      const float* x = inputs(t, block);
      add_products(args, block, t, [&](auto n_rows, int64_t r) {
        return dot_rows<n_rows>(weights + r * kBlockIn, kBlockIn, x, size);
      });
    }
  });
}

// Exact activations.
template <typename F>
void matmul_f32(const MatmulArgs& args, int64_t begin, int64_t end) {
  const int64_t stride = F::kInput == InputForm::kPlain ? args.weight.in : args.x.in_padded;
  multiply_decoded<F>(args, begin, end, [&](int64_t token, const Block& block) {
    return args.x.f32 + args.x.rows[token] * stride + block.in;
  });
}

// Int8 activations, for rotated formats that have no integers to multiply these with.
template <typename F>
void matmul_widened(const MatmulArgs& args, int64_t begin, int64_t end) {
  alignas(64) float x[kBlockIn];
  const int group = args.weight.group;
  multiply_decoded<F>(args, begin, end, [&](int64_t token, const Block& block) {
    const int64_t offset = args.x.rows[token] * args.x.in_padded + block.in;
    for (int64_t i = 0; i < block.size; ++i) {
      x[i] = static_cast<float>(args.x.q8[offset + i]) * args.x.q8_scale[(offset + i) / group];
    }
    return static_cast<const float*>(x);
  });
}

// The little-endian word of kBytes bytes. Two loads at most: a memcpy of 3, 5 or 6 bytes into a
// wider word goes through memory.
template <int kBytes>
uint64_t load_word(const uint8_t* p) {
  if constexpr (kBytes == 1) {
    return *p;
  } else if constexpr (kBytes == 2) {
    uint16_t word;
    std::memcpy(&word, p, sizeof(word));
    return word;
  } else if constexpr (kBytes == 4) {
    uint32_t word;
    std::memcpy(&word, p, sizeof(word));
    return word;
  } else {
    constexpr int kLow = kBytes > 4 ? 4 : 2;
    return load_word<kLow>(p) | load_word<kBytes - kLow>(p + kLow) << (8 * kLow);
  }
}

// The int8 centroids of a codebook, looked up by kCodes neighbouring indices at a time and widened:
// products of 16-bit numbers added in pairs are one instruction in every vector set.
template <int kBits>
struct DecodeTable {
  static constexpr int kCodes = kBits == 2 ? 4 : 2;
  static constexpr int kEntryBits = kBits * kCodes;
  alignas(64) int16_t values[1 << kEntryBits][kCodes];

  explicit DecodeTable(int group) {
    const Codebook& book = codebook(kBits, group);
    for (int entry = 0; entry < 1 << kEntryBits; ++entry) {
      for (int k = 0; k < kCodes; ++k) {
        const int index = (entry >> (k * kBits)) & ((1 << kBits) - 1);
        values[entry][k] = book.int8_centroids[static_cast<size_t>(index)];
      }
    }
  }

  // n is a multiple of 8.
  void decode(const uint8_t* codes, int64_t n, int16_t* out) const {
    for (int64_t i = 0; i < n; i += 8, codes += kBits) {
      const uint64_t word = load_word<kBits>(codes);
      for (int k = 0; k < 8; k += kCodes) {
        const uint64_t entry = (word >> (k * kBits)) & ((1u << kEntryBits) - 1);
        std::memcpy(out + i + k, values[entry], sizeof(values[entry]));
      }
    }
  }
};

// At 8 bits index k stands for the integer k - 128: no table.
template <>
struct DecodeTable<8> {
  explicit DecodeTable(int /*group*/) {}
  void decode(const uint8_t* codes, int64_t n, int16_t* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<int16_t>(codes[i] - 128);
  }
};

template <int kBits>
const DecodeTable<kBits>& decode_table(int group) {
  static const DecodeTable<kBits> k32(32), k64(64), k128(128), k256(256);
  return group == 32 ? k32 : group == 64 ? k64 : group == 128 ? k128 : k256;
}

// What an integer of a format's groups is times the gain.
template <typename F>
float integer_unit(int group) {
  if constexpr (kIsTrellisCodec<F>) return trellis_table(F::kBits, group).unit;
  return codebook(F::kBits, group).int8_unit;
}

// Codes of n weights, a multiple of the group, to integers.
template <typename F>
void decode_integers(const uint8_t* codes, int64_t n, int group, int16_t* out) {
  if constexpr (kIsTrellisCodec<F>) {
    const int8_t* integers = trellis_table(F::kBits, group).integers.data();
    uint8_t windows[kBlockIn];
    for (int64_t i = 0; i < n; i += group) {
      read_windows<F::kBits>(codes + packed_bytes(i, F::kBits), group, windows + i);
    }
    for (int64_t i = 0; i < n; ++i) out[i] = integers[windows[i]];
  } else {
    decode_table<F::kBits>(group).decode(codes, n, out);
  }
}

// A decoded block for integer products. Row r: values[r * kBlockIn ...]; the factors of its group g
// (gain * int8 unit): factors[g * kBlockRows + r].
struct IntegerBlock {
  alignas(64) int16_t values[kBlockRows * kBlockIn];
  float factors[kBlockIn / kMinGroup * kBlockRows];
};

template <typename F>
void decode_block(const WeightView& weight, const Block& block, IntegerBlock& out) {
  const float unit = integer_unit<F>(weight.group);
  for (int64_t r = 0; r < block.rows; ++r) {
    decode_integers<F>(weight.code_row(block.row + r) + F::code_row_bytes(block.in), block.size,
                       weight.group, out.values + r * kBlockIn);
    const uint16_t* gains = weight.gain_row(block.row + r) + block.in / weight.group;
    for (int64_t g = 0; g < block.size / weight.group; ++g) {
      out.factors[g * kBlockRows + r] = f16_to_f32(gains[g]) * unit;
    }
  }
}

// Products of kRows rows, from row r of the block, with one token's activations. Integer sums over
// a group are exact; groups are added in ascending order.
template <int kRows>
std::array<float, kRows> dot_groups(const IntegerBlock& block, int64_t r, const int8_t* x,
                                    const float* x_scale, int group, int64_t n_groups) {
  std::array<float, kRows> sums = {};
  for (int64_t g = 0; g < n_groups; ++g) {
    const int16_t* w = block.values + r * kBlockIn + g * group;
    const int8_t* xg = x + g * group;
    std::array<int32_t, kRows> dots = {};
    for (int i = 0; i < group; ++i) {
      for (size_t k = 0; k < kRows; ++k) {
        dots[k] += int32_t{w[static_cast<int64_t>(k) * kBlockIn + i]} * int32_t{xg[i]};
      }
    }
    const float* factors = block.factors + g * kBlockRows + r;
    for (size_t k = 0; k < kRows; ++k) {
      sums[k] += static_cast<float>(dots[k]) * (factors[k] * x_scale[g]);
    }
  }
  return sums;
}

// Int8 activations times int8 centroids, or the integers of a trellis table.
template <typename F>
void matmul_i8(const MatmulArgs& args, int64_t begin, int64_t end) {
  IntegerBlock decoded;
  const WeightView& weight = args.weight;
  for_each_block(weight, begin, end, [&](const Block& block) {
    decode_block<F>(weight, block, decoded);
    const int64_t n_groups = block.size / weight.group;
    for (int64_t t = 0; t < args.x.tokens; ++t) {
      const int64_t offset = args.x.rows[t] * args.x.in_padded + block.in;
      const int8_t* x = args.x.q8 + offset;
      const float* x_scale = args.x.q8_scale + offset / weight.group;
      add_products(args, block, t, [&](auto n_rows, int64_t r) {
        return dot_groups<n_rows>(decoded, r, x, x_scale, weight.group, n_groups);
      });
    }
  });
}

template <typename F>
constexpr CpuKernel<MatmulArgs> integer_kernel() {
  if constexpr (kIsScalarCodec<F> || kIsTrellisCodec<F>) return matmul_i8<F>;
  if constexpr (F::kInput == InputForm::kRotated) return matmul_widened<F>;
  return nullptr;
}

template <typename... F>
void fill(FormatList<F...> /*formats*/, CpuKernels& table) {
  table.matmul_f32 = {matmul_f32<F>...};
  table.matmul_i8 = {integer_kernel<F>()...};
}

}  // namespace

void fill_matmul(CpuKernels& table) { fill(AllFormats{}, table); }

}  // namespace tq::generic
