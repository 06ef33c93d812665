#include "format/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace tq {
namespace {

using ::testing::ElementsAre;

TEST(Packing, FourBitsTakeTheLowNibbleFirst) {
  const uint8_t indices[8] = {0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xf};
  std::vector<uint8_t> packed(4);
  pack<4>(indices, 8, packed.data());
  EXPECT_THAT(packed, ElementsAre(0x21, 0x43, 0x65, 0xf7));
}

TEST(Packing, ThreeBitsFillA24BitWord) {
  const uint8_t indices[8] = {1, 0, 0, 7, 0, 0, 0, 4};
  std::vector<uint8_t> packed(3);
  pack<3>(indices, 8, packed.data());
  EXPECT_THAT(packed, ElementsAre(0x01, 0x0e, 0x80));  // 1 | 7 << 9 | 4 << 21
}

TEST(Packing, TwoBitsGoFourToAByte) {
  const uint8_t indices[8] = {0, 1, 2, 3, 3, 2, 1, 0};
  std::vector<uint8_t> packed(2);
  pack<2>(indices, 8, packed.data());
  EXPECT_THAT(packed, ElementsAre(0xe4, 0x1b));
}

template <int kBits>
void check_round_trip() {
  constexpr int kCount = 96;
  std::mt19937 draw(kBits);
  std::vector<uint8_t> indices(kCount), unpacked(kCount);
  for (uint8_t& index : indices) index = static_cast<uint8_t>(draw() & ((1u << kBits) - 1));
  // Exactly as large as it must be, so that a sanitizer sees an access beyond the end.
  std::vector<uint8_t> packed(packed_bytes(kCount, kBits));
  pack<kBits>(indices.data(), kCount, packed.data());
  unpack<kBits>(packed.data(), kCount, unpacked.data());
  EXPECT_EQ(unpacked, indices) << kBits;
  for (int k = 0; k < kCount; ++k) EXPECT_EQ(unpack_index(packed.data(), kBits, k), indices[k]);
  for (int k = 0; k < kCount; ++k) {  // the definition, bit by bit
    for (int bit = 0; bit < kBits; ++bit) {
      const int position = k * kBits + bit;
      EXPECT_EQ((packed[position / 8] >> (position % 8)) & 1, (indices[k] >> bit) & 1);
    }
  }
}

TEST(Packing, RoundTripsAtAnyWidth) {
  check_round_trip<1>();
  check_round_trip<2>();
  check_round_trip<3>();
  check_round_trip<4>();
  check_round_trip<5>();
  check_round_trip<6>();
  check_round_trip<7>();
  check_round_trip<8>();
}

}  // namespace
}  // namespace tq
