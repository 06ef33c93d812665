#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/buffer.h"

namespace tq {
namespace {

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kF8E5M2); ++i) {
    const DTypeInfo& info = dtype_info(static_cast<DType>(i));
    EXPECT_EQ(info.dtype, static_cast<DType>(i));
    EXPECT_EQ(dtype_from_name(info.name), info.dtype);
  }
  EXPECT_EQ(dtype_from_name("F4"), std::nullopt);
  EXPECT_EQ(dtype_info(DType::kBF16).bytes, 2);
  EXPECT_FALSE(dtype_info(DType::kU8).is_float);
}

TEST(DType, WidensEveryFloatFromUnalignedBytes) {
  const std::vector<float> want = {1.5f, -0.25f, 3.0f};
  const auto check = [&](DType dtype, const std::vector<uint8_t>& bytes) {
    std::vector<uint8_t> shifted(bytes.size() + 1);
    std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
    std::vector<float> out(3);
    to_f32(dtype, shifted.data() + 1, 3, out.data());
    EXPECT_EQ(out, want) << dtype_info(dtype).name;
  };
  const auto bytes_of = [](const auto& values) {
    std::vector<uint8_t> bytes(values.size() * sizeof(values[0]));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  };
  check(DType::kF32, bytes_of(want));
  check(DType::kF64, bytes_of(std::vector<double>{1.5, -0.25, 3.0}));
  check(DType::kF16, bytes_of(std::vector<uint16_t>{0x3e00, 0xb400, 0x4200}));
  check(DType::kBF16, bytes_of(std::vector<uint16_t>{0x3fc0, 0xbe80, 0x4040}));
}

TEST(DType, RefusesWhatIsNoPlainFloat) {
  const uint8_t byte = 0;
  float out;
  EXPECT_THROW(to_f32(DType::kU8, &byte, 1, &out), Error);
  EXPECT_THROW(to_f32(DType::kF8E4M3, &byte, 1, &out), Error);
}

TEST(DType, ShapesPrint) {
  EXPECT_EQ(shape_string({2, 3, 4}), "[2, 3, 4]");
  EXPECT_EQ(shape_string({}), "[]");
}

TEST(Buffer, IsAligned) {
  const Buffer buffer(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % Buffer::kAlignment, 0u);
  EXPECT_EQ(buffer.size_bytes(), 100u);
  EXPECT_EQ(buffer.as<float>().size(), 25u);
  EXPECT_TRUE(Buffer().empty());
}

}  // namespace
}  // namespace tq
