// Which formats have CUDA kernels: lists of the source, so that neither a GPU nor a build with CUDA
// is needed.
#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "kernels/cuda/kv_formats.h"
#include "kernels/cuda/weight_formats.h"

namespace tq {
namespace {

TEST(CudaFormats, TheseHaveKernels) {
  for (const char* name :
       {"f32", "f16", "bf16", "tq2", "tq3", "tq4", "tq5", "tq6", "tq8", "w7_3", "w7_4"}) {
    EXPECT_TRUE(cuda::has_kernels(find_format(name)->id)) << name;
  }
  for (const char* name : {"f32", "f16", "bf16"}) {
    EXPECT_TRUE(cuda::has_kernels(find_kv_format(name)->id)) << name;
  }
}

// Formats as somebody may add them: nothing but their being listed with the GPU's gives them
// kernels, neither scales nor a rotation nor a known number of bits.
template <InputForm kForm, int kWidth, bool kScales>
struct OtherFormat {
  static constexpr std::string_view kName = "other";
  static constexpr InputForm kInput = kForm;
  static constexpr int kBits = kWidth;
  static constexpr bool kHasScales = kScales;
  static constexpr int64_t code_row_bytes(int64_t in_padded) { return in_padded * kBits / 8; }
  static void decode_row(const uint8_t*, const uint16_t*, int64_t, int, float*) {}
  static EncodeStats encode_row(const float*, int64_t, int, const EncodeOptions&, uint8_t*,
                                float*) {
    return {};
  }
};

TEST(CudaFormats, OthersHaveNone) {
  EXPECT_FALSE((cuda::kHasKernels<OtherFormat<InputForm::kPlain, 8, true>>));
  EXPECT_FALSE((cuda::kHasKernels<OtherFormat<InputForm::kPlain, 16, false>>));
  EXPECT_FALSE((cuda::kHasKernels<OtherFormat<InputForm::kRotated, 3, true>>));
  EXPECT_FALSE(cuda::has_kernels(static_cast<FormatId>(format_count())));
  EXPECT_FALSE(cuda::has_kernels(static_cast<KvFormatId>(all_kv_formats().size())));
}

TEST(CudaFormats, EveryWidthHasACodebookAndIsAKind) {
  const auto check = []<int... kWidths>(std::integer_sequence<int, kWidths...>) {
    return ((is_one_of(kWidths, CodebookWidths{}) && is_one_of(kWidths, cuda::CodeKinds{})) && ...);
  };
  EXPECT_TRUE(check(cuda::CodeWidths{}));
}

TEST(CudaFormats, KindsOfCodes) {
  for (const FormatTraits& format : all_formats()) {
    const int kind = cuda::code_kind(format.id);
    EXPECT_EQ(kind > 0, format.input == InputForm::kRotated) << format.name;
    if (kind == 0) continue;
    EXPECT_EQ(cuda::bits_of(kind), format.bits) << format.name;
    const bool window = format.name.starts_with("w7");
    EXPECT_EQ(cuda::is_window(kind), window) << format.name;
    EXPECT_TRUE(cuda::has_encoder(format.id)) << format.name;
  }
  EXPECT_FALSE(cuda::has_encoder(find_format("bf16")->id));
}

TEST(CpuFormats, AllHaveKernels) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend({.threads = 1});
  for (const FormatTraits& format : all_formats()) EXPECT_TRUE(cpu->has_kernels(format.id));
  for (const KvFormatTraits& format : all_kv_formats()) EXPECT_TRUE(cpu->has_kernels(format.id));
}

}  // namespace
}  // namespace tq
