// THE LIST of KV formats, one struct each: what a cache of keys and values may hold. The table of
// traits (kv_traits.h), the generic kernels and the typed tests expand it, so a new KV format is a
// new file and one name here; see docs/add-a-kv-format.md.
//
// Code that only runs KV formats includes kv_traits.h; this header is for code that is generated
// from them.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "format/format_list.h"
#include "format/kv_plain.h"
#include "format/kv_rotated.h"
#include "format/kv_traits.h"

namespace tq {

// In ascending order of KvFormatId.
using AllKvFormats =
    FormatList<KvF32, KvF16, KvBf16, KvK8V8, KvK8V4, KvK5V4, KvK4V4, KvK4V3, KvK4V2, KvK3V3>;

// How vectors are stored; the members mean what they mean in KvVectorTraits. No state.
template <typename V>
concept KvVectors = requires(const float* x, uint8_t* codes, uint16_t* gains, const uint8_t* stored,
                             const uint16_t* stored_gains, float* out) {
  { V::kBasis } -> std::convertible_to<InputForm>;
  { V::takes(int64_t{}) } -> std::same_as<bool>;
  { V::code_bytes(int64_t{}) } -> std::same_as<int64_t>;
  { V::n_gains(int64_t{}) } -> std::same_as<int64_t>;
  { V::store(x, int64_t{}, codes, gains) } -> std::same_as<void>;
  { V::load(stored, stored_gains, int64_t{}, out) } -> std::same_as<void>;
};

// What the struct of a KV format provides.
template <typename F>
concept KvFormat = KvVectors<typename F::Keys> && KvVectors<typename F::Values> && requires {
  { F::kName } -> std::convertible_to<std::string_view>;
};

// The id of a KV format's struct.
template <KvFormat F>
constexpr KvFormatId kv_format_id() {
  static_assert(index_in<F>(AllKvFormats{}) >= 0, "the KV format is not in AllKvFormats");
  return static_cast<KvFormatId>(index_in<F>(AllKvFormats{}));
}

// What the struct of a KV format says, for use at run time.
template <KvVectors V>
constexpr KvVectorTraits kv_vector_traits() {
  return {V::kBasis, V::takes, V::code_bytes, V::n_gains, V::store, V::load};
}

}  // namespace tq
