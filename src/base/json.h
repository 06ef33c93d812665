// Strict JSON for files and requests we do not trust: duplicate keys, deep nesting, non-finite
// numbers, byte order marks and trailing text are errors that name the document. (Large tokenizer
// files go through simdjson, safetensors headers through an event stream, in their own readers.)
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/indexed_map.h"

namespace tq {

using Json = nlohmann::basic_json<IndexedMap>;  // keeps key order: what is read is written back so

struct JsonLimits {
  int max_depth = 64;
  int64_t max_bytes = int64_t{64} << 20;
};

// Parses text; throws kCorrupt "<name>: ..." with the place of the fault.
Json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits = {});

}  // namespace tq
