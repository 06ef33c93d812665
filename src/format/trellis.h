// What the window-trellis formats w7_3 and w7_4 share. A group is rotated (hadamard.h) and has one
// gain, as in the scalar formats; but the value of a weight depends on the last seven bits of the
// group's index stream (packing.h), so that neighbouring weights share bits: Viterbi's algorithm
// finds the stream with the least error. docs/formats.md defines the result bit for bit. Everything
// here is immutable or a pure function of the row; thread safe.
//
// The window of weight i of a group is bits [bits * i + bits - 7, bits * (i + 1)) of the group's
// stream, which is a ring: its first windows begin in its last bits. So a group can be read on its
// own, and the newest index is the window's high bits.
#pragma once

#include <cstdint>
#include <span>

#include "base/float16.h"
#include "format/format_list.h"
#include "format/packing.h"
#include "format/traits.h"

namespace tq {

constexpr int kWindowBits = 7;
constexpr int kWindows = 1 << kWindowBits;
constexpr int kTrellisKeys = 16;

// The values of a width and a group, which is close to N(0, 1 / group) in each coordinate of a
// rotated unit vector. 64-byte aligned.
struct TrellisTable {
  int bits;
  int group;
  // What a window reconstructs to before the gain, w = gain * values[window], and the integers that
  // these are times `unit`, exactly. |integer| <= 127.
  std::span<const float> values;     // [kWindows]
  std::span<const int8_t> integers;  // [kWindows]
  float unit;
  // The integers are sums, for kernels that look up 16 values at a time. With the key of a weight,
  // the last four bits of the stream: newest[its key] + older[the key of the weight before].
  std::span<const int8_t> newest;  // [kTrellisKeys]
  std::span<const int8_t> older;   // [kTrellisKeys]
};

// For 3 or 4 bits and a group of 32, 64, 128 or 256. TQ_CHECKs both arguments.
const TrellisTable& trellis_table(int bits, int group);

// The windows of one group's codes.
template <int kBits>
void read_windows(const uint8_t* codes, int group, uint8_t* windows) {
  constexpr int kOld = kWindowBits - kBits;  // bits of a window that are not its newest index
  uint64_t stream = static_cast<uint64_t>(codes[packed_bytes(group, kBits) - 1]) >> (8 - kOld);
  for (int i = 0; i < group; i += 8) {
    for (int b = 0; b < kBits; ++b) stream |= static_cast<uint64_t>(*codes++) << (8 * b + kOld);
    for (int k = 0; k < 8; ++k) {
      windows[i + k] = static_cast<uint8_t>((stream >> (kBits * k)) & (kWindows - 1));
    }
    stream >>= 8 * kBits;
  }
}

// TrellisCodec::encode_row of a width, for this CPU (trellis_encoder.h).
EncodeStats encode_trellis_row(int bits, const float* x, int64_t in_padded, int group,
                               const EncodeOptions& options, uint8_t* codes, float* gains);

// A format struct derives from TrellisCodec<bits> and adds its name. For groups of 32, 64, 128 and
// 256.
template <int kCodeBits>
struct TrellisCodec {
  static_assert(kCodeBits == 3 || kCodeBits == 4, "there is no trellis table of this width");
  static constexpr InputForm kInput = InputForm::kRotated;
  static constexpr int kBits = kCodeBits;
  static constexpr bool kHasScales = true;

  static constexpr int64_t code_row_bytes(int64_t in_padded) {
    return packed_bytes(in_padded, kBits);
  }
  static void decode_row(const uint8_t* codes, const uint16_t* gains, int64_t in_padded, int group,
                         float* out) {
    const float* values = trellis_table(kBits, group).values.data();
    uint8_t windows[256];
    for (int64_t start = 0; start < in_padded; start += group) {
      const float gain = f16_to_f32(gains[start / group]);
      read_windows<kBits>(codes + packed_bytes(start, kBits), group, windows);
      for (int i = 0; i < group; ++i) out[start + i] = gain * values[windows[i]];
    }
  }
  static EncodeStats encode_row(const float* x, int64_t in_padded, int group,
                                const EncodeOptions& options, uint8_t* codes, float* gains) {
    return encode_trellis_row(kBits, x, in_padded, group, options, codes, gains);
  }
};

template <typename F>
constexpr bool kIsTrellisCodec = kDerivesFrom<F, TrellisCodec>;

}  // namespace tq
