// Strict JSON for files and requests we do not trust: duplicate keys, deep nesting, non-finite
// numbers, byte order marks and trailing text are errors that name the document. (Large tokenizer
// files go through simdjson, safetensors headers through an event stream, in their own readers.)
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/indexed_map.h"

extern template class nlohmann::basic_json<tq::IndexedMap>;  // in json.cpp: compiled once

namespace tq {

using Json = nlohmann::basic_json<IndexedMap>;  // keeps key order: what is read is written back so

struct JsonLimits {
  int max_depth = 64;
  int64_t max_bytes = int64_t{64} << 20;
};

// Parses text; throws kCorrupt "<name>: ..." with the place of the fault.
Json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits = {});

// The whole number that a value is, from low to high; nothing for any other value. 5.0 is one, too:
// some writers store integers so.
std::optional<int64_t> json_integer(const Json& value, int64_t low, int64_t high);

// The number that a value is, as fp32; nothing for any other value, and for numbers so large or so
// small that fp32 has only infinity or zero for them.
std::optional<float> json_float(const Json& value);

// The value on one line; what is no UTF-8 in it becomes U+FFFD.
std::string json_line(const Json& value);

// The value as it is shown in messages: JSON in ASCII, cut where it is long.
std::string json_for_message(const Json& value);

}  // namespace tq
