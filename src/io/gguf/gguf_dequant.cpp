#include "io/gguf/gguf_dequant.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/float16.h"
#include "io/mxfp4.h"

namespace tq {
namespace {

float load_f16(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  return f16_to_f32(half);
}

uint32_t load_u32(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// --- Blocks of 32: byte i holds weight i in its low nibble and weight i + 16 in its high one. ---

int low_nibble(const uint8_t* codes, int i) { return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4; }

struct BlockQ40 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 2 + 16;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    for (int i = 0; i < 32; ++i) {
      out[i] = scale * static_cast<float>(low_nibble(block + 2, i) - 8);
    }
  }
};

struct BlockQ41 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 4 + 16;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    const float minimum = load_f16(block + 2);
    for (int i = 0; i < 32; ++i) {
      out[i] = scale * static_cast<float>(low_nibble(block + 4, i)) + minimum;
    }
  }
};

// The fifth bits of Q5_0 and Q5_1 are a word of 32, bit i for weight i.
int five_bits(const uint8_t* high, const uint8_t* codes, int i) {
  return low_nibble(codes, i) | static_cast<int>((load_u32(high) >> i & 1u) << 4);
}

struct BlockQ50 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 2 + 4 + 16;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    for (int i = 0; i < 32; ++i) {
      out[i] = scale * static_cast<float>(five_bits(block + 2, block + 6, i) - 16);
    }
  }
};

struct BlockQ51 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 4 + 4 + 16;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    const float minimum = load_f16(block + 2);
    for (int i = 0; i < 32; ++i) {
      out[i] = scale * static_cast<float>(five_bits(block + 4, block + 8, i)) + minimum;
    }
  }
};

struct BlockQ80 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 2 + 32;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    for (int i = 0; i < 32; ++i) {
      out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
    }
  }
};

// --- Blocks of 256 ("K"): 8 runs of 32 weights. A run's low bits sit at one bit position of 32
// consecutive bytes; scales cover 16 (Q2, Q3, Q6) or 32 (Q4, Q5) weights. ---

constexpr int kBlockK = 256;

struct BlockQ2K {
  static constexpr int kWeights = kBlockK;
  static constexpr int kBytes = 16 + 64 + 4;
  static void decode(const uint8_t* block, float* out) {
    const uint8_t* codes = block + 16;
    const float scale = load_f16(block + 80);
    const float minimum = load_f16(block + 82);
    for (int i = 0; i < kBlockK; i += 16) {
      const uint8_t packed = block[i / 16];  // 4-bit scale, 4-bit minimum
      const float run_scale = scale * static_cast<float>(packed & 15);
      const float run_minimum = minimum * static_cast<float>(packed >> 4);
      const uint8_t* bytes = codes + i / 128 * 32 + i % 32;
      const int shift = i / 32 % 4 * 2;
      for (int k = 0; k < 16; ++k) {
        out[i + k] = run_scale * static_cast<float>(bytes[k] >> shift & 3) - run_minimum;
      }
    }
  }
};

struct BlockQ3K {
  static constexpr int kWeights = kBlockK;
  static constexpr int kBytes = 32 + 64 + 12 + 2;
  static void decode(const uint8_t* block, float* out) {
    const uint8_t* codes = block + 32;
    const uint8_t* scales = block + 96;
    const float scale = load_f16(block + 108);
    for (int i = 0; i < kBlockK; i += 16) {
      const float run_scale = scale * static_cast<float>(run_code(scales, i / 16) - 32);
      const uint8_t* bytes = codes + i / 128 * 32 + i % 32;
      const uint8_t* high = block + i % 32;
      const int shift = i / 32 % 4 * 2;
      for (int k = 0; k < 16; ++k) {
        const int third_bit = high[k] >> i / 32 & 1;
        const int code = (bytes[k] >> shift & 3) + 4 * third_bit - 4;
        out[i + k] = run_scale * static_cast<float>(code);
      }
    }
  }
  // 16 six-bit scales: low nibbles in bytes 0..7, high bit pairs in bytes 8..11.
  static int run_code(const uint8_t* scales, int run) {
    const int low = run < 8 ? scales[run] & 15 : scales[run - 8] >> 4;
    return low | (scales[8 + run % 4] >> run / 4 * 2 & 3) << 4;
  }
};

struct ScaleAndMinimum {
  int scale;
  int minimum;
};

// Six-bit scales and minimums of the 8 runs of Q4_K and Q5_K. Runs 0..3 are the low six bits of
// bytes 0..3 (scale) and 4..7 (minimum); runs 4..7 have low nibbles in bytes 8..11 and their upper
// two bits in what bytes 0..7 have left.
ScaleAndMinimum six_bit_pair(const uint8_t* packed, int run) {
  if (run < 4) return {packed[run] & 63, packed[run + 4] & 63};
  return {(packed[run + 4] & 15) | packed[run - 4] >> 6 << 4,
          packed[run + 4] >> 4 | packed[run] >> 6 << 4};
}

struct BlockQ4K {
  static constexpr int kWeights = kBlockK;
  static constexpr int kBytes = 4 + 12 + 128;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    const float minimum = load_f16(block + 2);
    for (int run = 0; run < 8; ++run) {
      const ScaleAndMinimum pair = six_bit_pair(block + 4, run);
      const float run_scale = scale * static_cast<float>(pair.scale);
      const float run_minimum = minimum * static_cast<float>(pair.minimum);
      const uint8_t* bytes = block + 16 + run / 2 * 32;
      const int shift = run % 2 * 4;
      for (int k = 0; k < 32; ++k) {
        out[run * 32 + k] = run_scale * static_cast<float>(bytes[k] >> shift & 15) - run_minimum;
      }
    }
  }
};

struct BlockQ5K {
  static constexpr int kWeights = kBlockK;
  static constexpr int kBytes = 4 + 12 + 32 + 128;
  static void decode(const uint8_t* block, float* out) {
    const float scale = load_f16(block);
    const float minimum = load_f16(block + 2);
    const uint8_t* high = block + 16;
    for (int run = 0; run < 8; ++run) {
      const ScaleAndMinimum pair = six_bit_pair(block + 4, run);
      const float run_scale = scale * static_cast<float>(pair.scale);
      const float run_minimum = minimum * static_cast<float>(pair.minimum);
      const uint8_t* bytes = block + 48 + run / 2 * 32;
      const int shift = run % 2 * 4;
      for (int k = 0; k < 32; ++k) {
        const int code = (bytes[k] >> shift & 15) | (high[k] >> run & 1) << 4;
        out[run * 32 + k] = run_scale * static_cast<float>(code) - run_minimum;
      }
    }
  }
};

struct BlockQ6K {
  static constexpr int kWeights = kBlockK;
  static constexpr int kBytes = 128 + 64 + 16 + 2;
  static void decode(const uint8_t* block, float* out) {
    const uint8_t* high_bits = block + 128;
    const uint8_t* scales = block + 192;
    const float scale = load_f16(block + 208);
    for (int i = 0; i < kBlockK; i += 16) {
      const float run_scale = scale * static_cast<float>(static_cast<int8_t>(scales[i / 16]));
      // 64 bytes of low nibbles serve 128 weights, the low halves first.
      const uint8_t* low = block + i / 128 * 64 + i % 64;
      const int low_shift = i / 64 % 2 * 4;
      const uint8_t* high = high_bits + i / 128 * 32 + i % 32;
      const int high_shift = i / 32 % 4 * 2;
      for (int k = 0; k < 16; ++k) {
        const int code = (low[k] >> low_shift & 15) | (high[k] >> high_shift & 3) << 4;
        out[i + k] = run_scale * static_cast<float>(code - 32);
      }
    }
  }
};

// Floats of 4 bits with a power of two that 32 of them share.
struct BlockMxfp4 {
  static constexpr int kWeights = 32;
  static constexpr int kBytes = 1 + 16;
  static void decode(const uint8_t* block, float* out) {
    for (int i = 0; i < 32; ++i) {
      out[i] = mxfp4_value(static_cast<uint8_t>(low_nibble(block + 1, i)), block[0]);
    }
  }
};

template <typename Block>
void decode_blocks(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t i = 0; i < n_blocks; ++i) {
    Block::decode(blocks + i * Block::kBytes, out + i * Block::kWeights);
  }
}

template <DType kType>
void decode_elements(const uint8_t* elements, int64_t n, float* out) {
  to_f32(kType, elements, n, out);
}

template <typename Block>
constexpr GgmlTypeInfo block_row(GgmlType type, std::string_view name) {
  return {type, name, Block::kWeights, Block::kBytes, std::nullopt, decode_blocks<Block>};
}

template <DType kType>
constexpr GgmlTypeInfo element_row(GgmlType type, std::string_view name, int bytes) {
  return {type, name, 1, bytes, kType, decode_elements<kType>};
}

constexpr std::array kTypes = {
    element_row<DType::kF32>(GgmlType::kF32, "f32", 4),
    element_row<DType::kF16>(GgmlType::kF16, "f16", 2),
    block_row<BlockQ40>(GgmlType::kQ4_0, "q4_0"),
    block_row<BlockQ41>(GgmlType::kQ4_1, "q4_1"),
    block_row<BlockQ50>(GgmlType::kQ5_0, "q5_0"),
    block_row<BlockQ51>(GgmlType::kQ5_1, "q5_1"),
    block_row<BlockQ80>(GgmlType::kQ8_0, "q8_0"),
    block_row<BlockQ2K>(GgmlType::kQ2_K, "q2_k"),
    block_row<BlockQ3K>(GgmlType::kQ3_K, "q3_k"),
    block_row<BlockQ4K>(GgmlType::kQ4_K, "q4_k"),
    block_row<BlockQ5K>(GgmlType::kQ5_K, "q5_k"),
    block_row<BlockQ6K>(GgmlType::kQ6_K, "q6_k"),
    element_row<DType::kBF16>(GgmlType::kBF16, "bf16", 2),
    block_row<BlockMxfp4>(GgmlType::kMxfp4, "mxfp4"),
};

// Types that ggml has, or had, and that are not read. Of those that it no longer has nothing but
// the name is known.
struct UnreadType {
  uint32_t type;
  GgmlLayout layout;  // no bytes: unknown
};
constexpr UnreadType kUnreadTypes[] = {
    {4, {"q4_2", 0, 0}},        {5, {"q4_3", 0, 0}},        {9, {"q8_1", 32, 36}},
    {15, {"q8_k", 256, 292}},   {16, {"iq2_xxs", 256, 66}}, {17, {"iq2_xs", 256, 74}},
    {18, {"iq3_xxs", 256, 98}}, {19, {"iq1_s", 256, 50}},   {20, {"iq4_nl", 32, 18}},
    {21, {"iq3_s", 256, 110}},  {22, {"iq2_s", 256, 82}},   {23, {"iq4_xs", 256, 136}},
    {24, {"i8", 1, 1}},         {25, {"i16", 1, 2}},        {26, {"i32", 1, 4}},
    {27, {"i64", 1, 8}},        {28, {"f64", 1, 8}},        {29, {"iq1_m", 256, 56}},
    {31, {"q4_0_4_4", 0, 0}},   {32, {"q4_0_4_8", 0, 0}},   {33, {"q4_0_8_8", 0, 0}},
    {34, {"tq1_0", 256, 54}},   {35, {"tq2_0", 256, 66}},   {36, {"iq4_nl_4_4", 0, 0}},
    {37, {"iq4_nl_4_8", 0, 0}}, {38, {"iq4_nl_8_8", 0, 0}}, {40, {"nvfp4", 64, 36}},
    {41, {"q1_0", 128, 18}},
};

}  // namespace

std::span<const GgmlTypeInfo> all_ggml_types() { return kTypes; }

const GgmlTypeInfo* find_ggml_type(uint32_t type) {
  for (const GgmlTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == type) return &info;
  }
  return nullptr;
}

const GgmlTypeInfo& ggml_type_info(GgmlType type) {
  const GgmlTypeInfo* info = find_ggml_type(static_cast<uint32_t>(type));
  TQ_CHECK(info != nullptr, "ggml type {}", static_cast<uint32_t>(type));
  return *info;
}

std::optional<GgmlLayout> find_ggml_layout(uint32_t type) {
  if (const GgmlTypeInfo* info = find_ggml_type(type)) {
    return GgmlLayout{info->name, info->block_weights, info->block_bytes};
  }
  for (const UnreadType& unread : kUnreadTypes) {
    if (unread.type == type && unread.layout.block_bytes > 0) return unread.layout;
  }
  return std::nullopt;
}

std::string ggml_type_label(uint32_t type) {
  std::string_view name = "unknown";
  if (const GgmlTypeInfo* info = find_ggml_type(type)) name = info->name;
  for (const UnreadType& unread : kUnreadTypes) {
    if (unread.type == type) name = unread.layout.name;
  }
  return fmt::format("{} ({})", type, name);
}

}  // namespace tq
