#include "io/gguf/gguf_dequant.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/file.h"

namespace tq {
namespace {

// tests/golden/make_gguf_fixtures.py: random blocks, and what the `gguf` package decodes them to.
const GgufFile& golden() {
  static const GgufFile file(fs::path(TQ_TEST_DATA) / "golden/gguf/blocks.gguf");
  return file;
}

class GgufDequant : public ::testing::TestWithParam<GgmlTypeInfo> {};

TEST_P(GgufDequant, DecodesToTheBitAsGgmlDefines) {
  const GgmlTypeInfo& type = GetParam();
  const std::string name(type.name);
  const GgufTensor* blocks = golden().find_tensor(name);
  const GgufTensor* expected = golden().find_tensor(name + ".expected");
  ASSERT_NE(blocks, nullptr);
  ASSERT_NE(expected, nullptr);
  ASSERT_EQ(blocks->type, type.type);
  ASSERT_EQ(blocks->shape, expected->shape);
  const int64_t n = blocks->shape[0] * blocks->shape[1];
  std::vector<float> decoded(static_cast<size_t>(n));
  std::vector<float> wanted(static_cast<size_t>(n));
  type.decode(golden().tensor_bytes(*blocks).data(), n / type.block_weights, decoded.data());
  to_f32(DType::kF32, golden().tensor_bytes(*expected).data(), n, wanted.data());
  for (size_t i = 0; i < decoded.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(decoded[i]), std::bit_cast<uint32_t>(wanted[i]))
        << "weight " << i << ": " << decoded[i] << ", not " << wanted[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GgufDequant,
                         ::testing::ValuesIn(all_ggml_types().begin(), all_ggml_types().end()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(GgmlTypes, AreFoundByNumber) {
  for (const GgmlTypeInfo& type : all_ggml_types()) {
    EXPECT_EQ(find_ggml_type(static_cast<uint32_t>(type.type)), &type);
    EXPECT_EQ(&ggml_type_info(type.type), &type);
  }
  EXPECT_EQ(all_ggml_types().size(), 14u);
  EXPECT_EQ(find_ggml_type(20), nullptr);
  EXPECT_EQ(find_ggml_type(4), nullptr);
}

TEST(GgmlTypes, HaveLabels) {
  EXPECT_EQ(ggml_type_label(12), "12 (q4_k)");
  EXPECT_EQ(ggml_type_label(20), "20 (iq4_nl)");
  EXPECT_EQ(ggml_type_label(12345), "12345 (unknown)");
}

}  // namespace
}  // namespace tq
