#include "tensor/dtype.h"

#include <fmt/ranges.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/float16.h"

namespace tq {
namespace {

constexpr std::array<DTypeInfo, 15> kDTypes = {{
    {DType::kF64, "F64", 8, true},
    {DType::kF32, "F32", 4, true},
    {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kI64, "I64", 8, false},
    {DType::kI32, "I32", 4, false},
    {DType::kI16, "I16", 2, false},
    {DType::kI8, "I8", 1, false},
    {DType::kU64, "U64", 8, false},
    {DType::kU32, "U32", 4, false},
    {DType::kU16, "U16", 2, false},
    {DType::kU8, "U8", 1, false},
    {DType::kBool, "BOOL", 1, false},
    {DType::kF8E4M3, "F8_E4M3", 1, true},
    {DType::kF8E5M2, "F8_E5M2", 1, true},
}};

}  // namespace

const DTypeInfo& dtype_info(DType dtype) { return kDTypes[static_cast<size_t>(dtype)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

std::string shape_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void to_f32(DType dtype, const void* source, int64_t n, float* out) {
  const auto* bytes = static_cast<const uint8_t*>(source);
  const auto half = [&](int64_t i) {  // memcpy: the source may be unaligned
    uint16_t value;
    std::memcpy(&value, bytes + 2 * i, 2);
    return value;
  };
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, source, static_cast<size_t>(n) * 4);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) out[i] = f16_to_f32(half(i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_f32(half(i));
      return;
    case DType::kF64:
      for (int64_t i = 0; i < n; ++i) {
        double value;
        std::memcpy(&value, bytes + 8 * i, 8);
        out[i] = static_cast<float>(value);
      }
      return;
    default:
      TQ_CHECK(false, "no conversion of {} to fp32", dtype_info(dtype).name);
  }
}

}  // namespace tq
