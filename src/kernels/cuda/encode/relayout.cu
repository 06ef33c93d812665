// Native weights (bit streams, row by row) to the layout of tile_layout.h. One thread makes one
// 32-bit word of codes; gains are copied beside them.
#include "kernels/cuda/codebooks.cuh"
#include "kernels/cuda/device/codes.cuh"
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
  int kind;
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
    const int bits = bits_of(p.kind);
    const int64_t bit = in * bits;
    const uint8_t* from = codes + row * (p.in_padded / 8 * bits) + bit / 8;
    const int shift = static_cast<int>(bit % 8);
    uint32_t word = from[0];
    if (shift + bits > 8) word |= uint32_t{from[1]} << 8;
    return (word >> shift) & ((1u << bits) - 1);
  }
};

// Block (tile, matrix); threads take the words of the tile, units outermost.
__global__ void relayout_kernel(const RelayoutParams p) {
  start_kernel();
  const int64_t tile = blockIdx.x;
  const int64_t n_units = (p.in_padded + unit_in(p.group) - 1) / unit_in(p.group);
  const int unit_words = unit_bytes(p.kind, p.group) / 4;
  const int code_words = unit_code_bytes(p.kind, p.group) / 4;
  const int chunk_words = chunk_bytes(p.kind) / 4;
  const int64_t matrix = blockIdx.y;
  auto* out = reinterpret_cast<uint32_t*>(
      p.out + matrix * matrix_bytes(p.kind, p.group, p.rows, p.in_padded) +
      tile * tile_bytes(p.kind, p.group, p.in_padded));
  const uint8_t* codes = p.codes + matrix * p.rows * (p.in_padded / 8 * bits_of(p.kind));
  const int64_t n_groups = p.in_padded / p.group;
  const uint16_t* gains = p.gains + matrix * p.rows * n_groups;
  for (int64_t i = threadIdx.x; i < n_units * unit_words; i += blockDim.x) {
    const int64_t unit = i / unit_words;
    const int w = static_cast<int>(i % unit_words);
    if (w < code_words) {
      const NativeIndices index{p, codes, tile * kTileRows,
                                unit * unit_in(p.group) + w / chunk_words * kChunkIn, w % 32};
      out[i] = make_word(index, p.kind, w % chunk_words / 32);
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
         matrix_bytes(code_kind(native.format), native.group, native.rows, native.in_padded);
}

void relayout(const WeightView& native, uint8_t* out, cudaStream_t stream) {
  if (!is_rotated(native)) {
    check(cudaMemcpyAsync(out, native.codes, static_cast<size_t>(native.size_bytes()),
                          cudaMemcpyDeviceToDevice, stream),
          "copying weights");
    return;
  }
  const RelayoutParams params{native.codes, native.gains,     out,
                              native.rows,  native.in_padded, code_kind(native.format),
                              native.group};
  launch("relayout", relayout_kernel,
         {dim3(static_cast<unsigned>(tiles(native.rows)), static_cast<unsigned>(native.experts)),
          dim3(256)},
         stream, params);
}

}  // namespace tq::cuda
