// What operators and those who only plan for them share: types and constants without pointers.
#pragma once

#include <cstdint>

namespace tq {

enum class KvDType : uint8_t { kF32, kF16, kBF16 };

constexpr int kv_dtype_bytes(KvDType dtype) { return dtype == KvDType::kF32 ? 4 : 2; }

// Tokens in a page of a KV cache.
constexpr int kKvBlockTokens = 16;

constexpr int64_t kMaxHeadDim = 1024;  // of the keys and of the values that a cache holds

}  // namespace tq
