// Overflow-checked size arithmetic for numbers that come out of files, and rounding helpers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace tq {

// a * b and a + b, or nothing when the result does not fit 63 bits. Inputs must not be negative.
inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t out;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}
inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t out;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}
// The product of all dimensions (1 for an empty shape), or nothing on overflow or a negative one.
inline std::optional<int64_t> checked_product(std::span<const int64_t> dims) {
  int64_t out = 1;
  for (const int64_t dim : dims) {
    const auto product = checked_mul(out, dim);
    if (!product) return std::nullopt;
    out = *product;
  }
  return out;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace tq
