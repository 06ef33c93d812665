// The KV formats that CUDA kernels are compiled for, and the dispatch by them. Without nvcc only
// the list is there.
#pragma once

#include <cstdint>
#include <type_traits>

#include "format/kv_formats.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/cuda_error.h"
#endif

namespace tq::cuda {

// Planes of numbers of one type, and planes of codes with gains.
using PlainKvFormats = FormatList<KvF16, KvBf16, KvF32>;
using CodedKvFormats = FormatList<KvK8V8, KvK8V4, KvK5V4, KvK4V4, KvK4V3, KvK4V2, KvK3V3>;

template <typename... Plain, typename... Coded>
constexpr auto joined(FormatList<Plain...>, FormatList<Coded...>) {
  return FormatList<Plain..., Coded...>{};
}
// In the order in which `tq devices --kernels` shows them.
using CudaKvFormats = decltype(joined(PlainKvFormats{}, CodedKvFormats{}));

template <typename... Formats>
constexpr bool has_kernels(KvFormatId id, FormatList<Formats...>) {
  return ((id == kv_format_id<Formats>()) || ...);
}
constexpr bool has_kernels(KvFormatId id) { return has_kernels(id, CudaKvFormats{}); }
constexpr bool is_coded(KvFormatId id) { return has_kernels(id, CodedKvFormats{}); }

#ifdef __CUDACC__
// The type of the numbers in a format's planes.
template <typename Format>
struct KvNumber;
template <>
struct KvNumber<KvF32> {
  using Type = float;
};
template <>
struct KvNumber<KvF16> {
  using Type = __half;
};
template <>
struct KvNumber<KvBf16> {
  using Type = __nv_bfloat16;
};

// A type as an argument.
template <typename T>
struct Numbers {
  using Type = T;
};

// Calls use(Numbers<T>{}) for the type T of the format's numbers; false if the format has none.
template <typename Use, typename... Formats>
bool try_kv_format(KvFormatId id, const Use& use, FormatList<Formats...>) {
  const auto use_if = [&](auto numbers, bool chosen) {
    if (chosen) use(numbers);
    return chosen;
  };
  return (use_if(Numbers<typename KvNumber<Formats>::Type>{}, id == kv_format_id<Formats>()) ||
          ...);
}
// The same; there must be one.
template <typename Use>
void with_kv_format(KvFormatId id, const Use& use) {
  if (!try_kv_format(id, use, PlainKvFormats{})) fail_call("a KV format that is not of numbers");
}
// The same for kernels of 16-bit numbers.
template <typename Use>
void with_kv_format16(KvFormatId id, const Use& use) {
  with_kv_format(id, [&](auto numbers) {
    if constexpr (sizeof(typename decltype(numbers)::Type) == 2) {
      use(numbers);
    } else {
      fail_call("a KV format of another size than 16 bits");
    }
  });
}

// Calls use(Format{}) for a format of codes.
template <typename Use, typename... Formats>
bool try_coded_format(KvFormatId id, const Use& use, FormatList<Formats...>) {
  const auto use_if = [&](auto format, bool chosen) {
    if (chosen) use(format);
    return chosen;
  };
  return (use_if(Formats{}, id == kv_format_id<Formats>()) || ...);
}
template <typename Use>
void with_coded_format(KvFormatId id, const Use& use) {
  if (!try_coded_format(id, use, CodedKvFormats{})) fail_call("a KV format that is not of codes");
}

// Bytes of a number in a format's planes; 0 for other formats.
inline int64_t kv_number_bytes(KvFormatId id) {
  int64_t bytes = 0;
  const auto use = [&](auto numbers) { bytes = sizeof(typename decltype(numbers)::Type); };
  try_kv_format(id, use, PlainKvFormats{});
  return bytes;
}
// Whether planes are numbers of type T.
template <typename T>
bool holds_numbers(KvFormatId id) {
  bool same = false;
  const auto use = [&](auto numbers) {
    same = std::is_same_v<typename decltype(numbers)::Type, T>;
  };
  try_kv_format(id, use, PlainKvFormats{});
  return same;
}
#endif

}  // namespace tq::cuda
