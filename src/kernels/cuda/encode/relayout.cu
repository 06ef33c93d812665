// Native weights (bit streams, row by row) to the layout of tile_layout.h. One thread makes one
// 32-bit word of codes; gains are copied beside them.
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

struct RelayoutParams {
  const uint8_t* codes;
  const uint16_t* gains;
  uint8_t* out;
  int64_t rows;  // of one matrix
  int64_t in_padded;
  int bits;
  int group;
};

// Reads indices of one matrix of the native layout; 0 outside of it.
struct NativeIndices {
  const RelayoutParams& p;
  const uint8_t* codes;
  int64_t first_row;
  int64_t first_in;
  int lane;

  __device__ uint32_t at(int reg, int byte) const {
    const int64_t row = first_row + fragment_row(lane, reg);
    const int64_t in = first_in + fragment_in(lane, reg, byte);
    if (row >= p.rows || in >= p.in_padded) return 0;
    const int64_t bit = in * p.bits;
    const uint8_t* from = codes + row * (p.in_padded / 8 * p.bits) + bit / 8;
    const int shift = static_cast<int>(bit % 8);
    uint32_t word = from[0];
    if (shift + p.bits > 8) word |= uint32_t{from[1]} << 8;
    return (word >> shift) & ((1u << p.bits) - 1);
  }
};

__device__ uint32_t make_word(const NativeIndices& index, int bits, int w) {
  uint32_t word = 0;
  if (bits == 8) {
    for (int i = 0; i < 4; ++i) word |= (index.at(w, i) ^ 128u) << (8 * i);
  } else if (bits == 6 && w >= 4) {
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) {
        word |= ((index.at(4 * (w - 4) + k, i) ^ 32u) >> 4) << (8 * i + 2 * k);
      }
    }
  } else if (bits == 6) {
    for (int i = 0; i < 4; ++i) {
      word |= ((index.at(2 * w, i) ^ 32u) & 15u) << (8 * i);
      word |= ((index.at(2 * w + 1, i) ^ 32u) & 15u) << (8 * i + 4);
    }
  } else if (bits == 5 && w == 4) {
    for (int r = 0; r < 8; ++r) {
      for (int i = 0; i < 4; ++i) {
        word |= (index.at(r, i) < 16 ? 1u : 0u) << (4 * i + r % 4 + 16 * (r / 4));
      }
    }
  } else {
    for (int n = 0; n < 8; ++n) {
      uint32_t nibble;
      if (bits == 2) {
        nibble = index.at(4 * w + n / 4, n % 4) | index.at(4 * w + 2 + n / 4, n % 4) << 2;
      } else {
        nibble = index.at(2 * w + n / 4, n % 4);
        if (bits == 3) nibble |= ((index.at(6 + n / 4, n % 4) >> w) & 1u) << 3;
        if (bits == 5) nibble = nibble >= 16 ? nibble - 16 : 15 - nibble;
      }
      word |= nibble << (4 * n);
    }
  }
  return word;
}

// Block (tile, matrix); threads take the words of the tile, units outermost.
__global__ void relayout_kernel(const RelayoutParams p) {
  start_kernel();
  const int64_t tile = blockIdx.x;
  const int64_t n_units = (p.in_padded + unit_in(p.group) - 1) / unit_in(p.group);
  const int unit_words = unit_bytes(p.bits, p.group) / 4;
  const int code_words = unit_code_bytes(p.bits, p.group) / 4;
  const int chunk_words = chunk_bytes(p.bits) / 4;
  const int64_t matrix = blockIdx.y;
  auto* out = reinterpret_cast<uint32_t*>(
      p.out + matrix * matrix_bytes(p.bits, p.group, p.rows, p.in_padded) +
      tile * tile_bytes(p.bits, p.group, p.in_padded));
  const uint8_t* codes = p.codes + matrix * p.rows * (p.in_padded / 8 * p.bits);
  const int64_t n_groups = p.in_padded / p.group;
  const uint16_t* gains = p.gains + matrix * p.rows * n_groups;
  for (int64_t i = threadIdx.x; i < n_units * unit_words; i += blockDim.x) {
    const int64_t unit = i / unit_words;
    const int w = static_cast<int>(i % unit_words);
    if (w < code_words) {
      const NativeIndices index{p, codes, tile * kTileRows,
                                unit * unit_in(p.group) + w / chunk_words * kChunkIn, w % 32};
      out[i] = make_word(index, p.bits, w % chunk_words / 32);
    } else {
      uint32_t pair = 0;
      for (int k = 0; k < 2; ++k) {
        const int at = 2 * (w - code_words) + k;
        const int64_t row = tile * kTileRows + at % kTileRows;
        const int64_t group = unit * (unit_in(p.group) / p.group) + at / kTileRows;
        if (row < p.rows && group < n_groups) {
          pair |= uint32_t{gains[row * n_groups + group]} << (16 * k);
        }
      }
      out[i] = pair;
    }
  }
}

}  // namespace

int64_t relayout_bytes(const WeightView& native) {
  if (!is_rotated(native)) return native.size_bytes();
  return native.experts *
         matrix_bytes(native.traits().bits, native.group, native.rows, native.in_padded);
}

void relayout(const WeightView& native, uint8_t* out, cudaStream_t stream) {
  if (!is_rotated(native)) {
    check(cudaMemcpyAsync(out, native.codes, static_cast<size_t>(native.size_bytes()),
                          cudaMemcpyDeviceToDevice, stream),
          "copying weights");
    return;
  }
  const RelayoutParams params{native.codes,     native.gains,         out,         native.rows,
                              native.in_padded, native.traits().bits, native.group};
  launch("relayout", relayout_kernel,
         {dim3(static_cast<unsigned>(tiles(native.rows)), static_cast<unsigned>(native.experts)),
          dim3(256)},
         stream, params);
}

}  // namespace tq::cuda
