// How rotated weights (tq2 .. tq8, w7_3, w7_4) lie in GPU memory: the contract between the relayout
// kernel and every kernel that reads weights. Pure functions; thread safe.
//
// A matrix is a sequence of tiles of 16 rows (the last padded with rows of gain 0), a tile one
// contiguous stream over its inputs: for every unit of inputs the codes of 16 rows, then their
// gains. A warp reads the stream of a tile front to back.
//   unit   = max(64, group) inputs
//          = chunk (16 x 64 codes, 128 * bits bytes) * unit / 64,
//            then f16 gains [unit / group][16].
// Within a chunk each lane of the warp owns 32 weights, the A fragments of two
// mma.m16n8k32 steps: register r = 0 .. 7 (step r / 4) holds as byte i the weight of
//   row    lane / 4 + 8 * (r % 2)
//   input  16 * (lane % 4) + 8 * (r / 4) + 4 * (r / 2 % 2) + i
// so that the matching B fragments are 16 contiguous activations. A lane's codes are `bits` words,
// word w of lane l at (w * 32 + l) * 4 bytes; their nibbles (n = 0 .. 7 from bit 0 up) are
// selectors of the byte permutation that turns four indices into four int8 centroids:
//   2 bits  word w, nibble n: register 4w + n/4 in bits 0-1, register 4w + 2 + n/4 in bits 2-3
//   3 bits  word w, nibble n: register 2w + n/4 in bits 0-2; bit 3 is bit w of register 6 + n/4
//   4 bits  word w, nibble n: register 2w + n/4
//   5 bits  words 0-3 as for 4 bits the magnitude (index - 16, or 15 - index with the sign set);
//           word 4: the sign of byte i of register r is bit 4i + r % 4 + 16 (r / 4)
//   6 bits  index ^ 32: words 0-3, byte i: register 2w in the low nibble, 2w + 1 in the high one,
//           four bits each; words 4-5, byte i: the top two bits of register 4(w - 4) + k at 2k
//   8 bits  word r: the int8 index ^ 128
// where byte i of register r is nibble n with n % 4 = i. Codes of a window trellis
// (format/trellis.h) lie as others of their width, of 4 bits each with its lowest bit on top, so
// that the others, which the next weight's value depends on too, are a selector. Other formats stay
// row-major.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace tq::cuda {

// A kind of codes: of tq2 .. tq8 the bits of a code, of a window trellis ten more.
constexpr int kWindowKinds = 10;
TQ_HOST_DEVICE constexpr int bits_of(int kind) { return kind % kWindowKinds; }
TQ_HOST_DEVICE constexpr bool is_window(int kind) { return kind > kWindowKinds; }

constexpr int kTileRows = 16;
constexpr int kChunkIn = 64;

TQ_HOST_DEVICE constexpr int unit_in(int group) { return group > kChunkIn ? group : kChunkIn; }
TQ_HOST_DEVICE constexpr int chunk_bytes(int kind) {
  return kTileRows * kChunkIn / 8 * bits_of(kind);
}
// Codes of a unit; its gains follow.
TQ_HOST_DEVICE constexpr int unit_code_bytes(int kind, int group) {
  return unit_in(group) / kChunkIn * chunk_bytes(kind);
}
TQ_HOST_DEVICE constexpr int unit_bytes(int kind, int group) {
  return unit_code_bytes(kind, group) + unit_in(group) / group * kTileRows * 2;
}
TQ_HOST_DEVICE constexpr int64_t tile_bytes(int kind, int group, int64_t in_padded) {
  return (in_padded + unit_in(group) - 1) / unit_in(group) * unit_bytes(kind, group);
}
TQ_HOST_DEVICE constexpr int64_t tiles(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }
// One matrix; a multiple of 16.
TQ_HOST_DEVICE constexpr int64_t matrix_bytes(int kind, int group, int64_t rows,
                                              int64_t in_padded) {
  return tiles(rows) * tile_bytes(kind, group, in_padded);
}

// Where weight (row, input) of a tile's chunk is: lane, register and byte.
struct FragmentPlace {
  int lane;
  int reg;
  int byte;
};
TQ_HOST_DEVICE constexpr FragmentPlace fragment_place(int row, int in) {
  return {row % 8 * 4 + in / 16, in % 16 / 8 * 4 + in % 8 / 4 * 2 + row / 8, in % 4};
}
TQ_HOST_DEVICE constexpr int fragment_row(int lane, int reg) { return lane / 4 + 8 * (reg % 2); }
TQ_HOST_DEVICE constexpr int fragment_in(int lane, int reg, int byte) {
  return 16 * (lane % 4) + 8 * (reg / 4) + 4 * (reg / 2 % 2) + byte;
}

}  // namespace tq::cuda
