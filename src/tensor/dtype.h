// Element types as files store them, and shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

// clang-format off
enum class DType : uint8_t {
  kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool, kF8E4M3, kF8E5M2,
};
// clang-format on

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as safetensors spells it: "BF16"
  int bytes;
  bool is_float;
};

const DTypeInfo& dtype_info(DType dtype);
std::optional<DType> dtype_from_name(std::string_view safetensors_name);

using Shape = std::vector<int64_t>;  // row-major, outermost first

// "[128, 1408, 2816]"
std::string shape_string(const Shape& shape);

// Converts n elements of a floating dtype (F64 F32 F16 BF16) to fp32. TQ_CHECKs the dtype.
void to_f32(DType dtype, const void* source, int64_t n, float* out);

}  // namespace tq
