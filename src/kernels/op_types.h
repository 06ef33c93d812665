// What operators and those who only plan for them share: types and constants without pointers.
#pragma once

#include <cstdint>

namespace tq {

enum class KvDType : uint8_t { kF32, kF16, kBF16 };

constexpr int kv_dtype_bytes(KvDType dtype) { return dtype == KvDType::kF32 ? 4 : 2; }

// Tokens in a page of a KV cache.
constexpr int kKvBlockTokens = 16;

}  // namespace tq
