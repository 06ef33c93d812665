// What operators and those who only plan for them share: types and constants without pointers.
#pragma once

#include <cstdint>

namespace tq {

enum class Activate : uint8_t { kSilu, kGeluTanh, kGelu };

enum class RouteScore : uint8_t { kSoftmax, kSigmoid };
constexpr int64_t kMaxExperts = 1024;
constexpr int64_t kMaxTopK = 64;  // of them for a token

// Tokens in a page of a KV cache.
constexpr int kKvBlockTokens = 16;
constexpr int64_t kMaxHeadDim = 1024;  // of the keys and of the values that a cache holds

}  // namespace tq
