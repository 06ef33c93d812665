// What the cache of keys and values may hold vectors in: KvFormatTraits describes a KV format at
// run time. Plain data and pure functions; thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/traits.h"

namespace tq {

// Index into the list of KV formats (kv_formats.h). Never stored on disk.
enum class KvFormatId : uint8_t {};

// How vectors of `dim` numbers, all keys or all values, lie in a plane of codes and, where a format
// has them, a plane of f16 gains.
struct KvVectorTraits {
  // The basis that codes are in, for kernels that read them as they are. store() and load() take
  // and give the plain one.
  InputForm basis;
  bool (*takes)(int64_t dim);          // whether vectors of that size can be stored
  int64_t (*code_bytes)(int64_t dim);  // of one vector
  int64_t (*n_gains)(int64_t dim);     // of one vector; 0: there is no plane of gains
  // One vector, any floats, to and from its place in the planes; gains are null without.
  void (*store)(const float* x, int64_t dim, uint8_t* codes, uint16_t* gains);
  void (*load)(const uint8_t* codes, const uint16_t* gains, int64_t dim, float* out);

  int64_t gain_bytes(int64_t dim) const { return n_gains(dim) * int64_t{sizeof(uint16_t)}; }
  int64_t bytes(int64_t dim) const { return code_bytes(dim) + gain_bytes(dim); }
};

struct KvFormatTraits {
  KvFormatId id;
  std::string_view name;  // as on the command line: "f16"
  KvVectorTraits keys;
  KvVectorTraits values;

  // Whether vectors are rotated and coded, not stored number by number.
  bool is_compressed() const { return keys.basis == InputForm::kRotated; }
};

// All KV formats in list order; a KvFormatId indexes it.
std::span<const KvFormatTraits> all_kv_formats();
const KvFormatTraits& kv_format_traits(KvFormatId id);
// Null when no KV format has that name.
const KvFormatTraits* find_kv_format(std::string_view name);
// What a cache holds unless it is asked for otherwise; exact: nothing may be rounded.
KvFormatId default_kv_format(bool exact = false);

}  // namespace tq
