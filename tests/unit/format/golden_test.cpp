// Byte-exact vectors of the reference encoder. Those for g = 128 come from the reference library
// itself, the others from an independent implementation in NumPy that agrees with it at g = 128.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/float16.h"
#include "format/hadamard.h"
#include "format/traits.h"

namespace tq {
namespace {

struct Golden {
  int group;
  int bits;
  std::string packed_hex;
  uint32_t gain_bits;
};

const Golden kGolden[] = {
    {32, 2, "2a17995691e1d617", 0x403957e0},
    {32, 3, "6d6309ead8698bbab09d7e29", 0x4023375b},
    {32, 4, "ba2a4c15b5976a6437a537b86ae55e45", 0x40297b27},
    {64, 2, "1dee9aaa213d2ebc66e8529ac545ea16", 0x40740891},
    {64, 3, "f242f3e45ab60b333b74039b5c15d6cdc68a5abe612d5f2d", 0x4067ee33},
    {64, 4, "c527c9d898a68aba3639d73dc83ad19c786b83ca2b76a88565e27771bbe95a36", 0x406ce511},
    {128, 2, "a6699bf6aa41a68ba57bd4894a49e957e11d194aae1af2939196d25129a6d86a", 0x40b917ea},
    {128, 3,
     "5c2952e6d8f924ab445cf98253f95ad12ea66534626bed4d42bf2bea444234cb2a846f88cb48a9ccae4863c1"
     "95e9dc56",
     0x40a08d49},
    {128, 4,
     "789a85489b877aeb88a92552798aae81469bae4d44e694a39a429661a7da6d4614fad725b4468951c9b9a935"
     "19ed2c95379658b528e734458719788aa4c6aa4b",
     0x40a2c078},
    {256, 2,
     "c4b65af56642418549a422a5d98656bbd10aaf590ee11551a262da7bdbada6424a04946aa6a65e446a361fb9"
     "767912c9986d15867a8f4eafaaae1de1d86d9d9a",
     0x40f8a0b4},
    {256, 3,
     "52dc99e4b6d91cc7644aa481aa84914cb3b5e35e85dc749acb4e2637394a7422d092b068444955ec6c76ee3c"
     "971dcb442d9429d158521c5bb5b404652c4739fe229add355a8c32c2a9ba579ad281ad67877c749324cbb3f3"
     "b2d0a13c73f25aae",
     0x40ef10e2},
    {256, 4,
     "44b36a8c996777dc7878287235437581a4546089383a66aa86e65a9269479e8c26f78823ce898755c82214d9"
     "56153764199a495ab8b68c7bbcc7c68b7aa83852bb51723443878b4978b85bbbc9555163a978583ded37848c"
     "6a5f974c283496b2b2b5e74a74247a81aa6ccd83e853cd8898b8e9b8c72626c893d4c768c4a68aa6",
     0x40ec9654},
};

std::vector<float> golden_input(int n) {
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<float>((37 * i + 11) % 101 - 50) / 64;
  return x;
}

const FormatTraits& tq_format(int bits) { return *find_format(fmt::format("tq{}", bits)); }

TEST(GoldenVectors, ReferenceEncoderReproducesBytesAndGains) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(fmt::format("g={} bits={}", golden.group, golden.bits));
    const auto x = golden_input(golden.group);
    const FormatTraits& format = tq_format(golden.bits);
    std::vector<uint8_t> codes(format.code_row_bytes(golden.group));
    float gain = 0;
    format.encode_rows(x.data(), golden.group, golden.group, {Effort::kReference}, codes.data(),
                       &gain);
    std::string hex;
    for (const uint8_t byte : codes) hex += fmt::format("{:02x}", byte);
    EXPECT_EQ(hex, golden.packed_hex);
    const auto ulps = static_cast<int64_t>(std::bit_cast<uint32_t>(gain)) - golden.gain_bits;
    EXPECT_LE(std::abs(ulps), 1);
  }
}

TEST(GoldenVectors, ThreeBitsDequantiseAsTheReference) {
  constexpr int kGroup = 128;
  const auto x = golden_input(kGroup);
  const FormatTraits& format = tq_format(3);
  std::vector<uint8_t> codes(format.code_row_bytes(kGroup));
  float gain = 0;
  const EncodeStats stats =
      format.encode_rows(x.data(), kGroup, kGroup, {Effort::kReference}, codes.data(), &gain);
  EXPECT_NEAR(std::sqrt(stats.rel_mse()), 0.1715, 5e-5);

  // Decode with a stored gain of exactly one, so that f16 does not round the reference's fp32 gain.
  const uint16_t one = f32_to_f16(1.0f);
  std::vector<float> decoded(kGroup);
  format.decode_row(codes.data(), &one, kGroup, kGroup, decoded.data());
  unrotate_group(decoded.data(), kGroup);
  const float expected[] = {-0.544668f, -0.041704f, 0.420266f, -0.376114f};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(gain * decoded[i], expected[i], 1e-6);
}

}  // namespace
}  // namespace tq
