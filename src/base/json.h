// Strict JSON for files and requests we do not trust: duplicate keys, deep nesting, non-finite
// numbers and trailing text are errors that name the document. (Large tokenizer files and
// safetensors headers go through simdjson in their own readers.)
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tq {

using Json = nlohmann::ordered_json;  // keeps key order: what we read is written back as it was

struct JsonLimits {
  int max_depth = 64;
  int64_t max_bytes = int64_t{64} << 20;
};

// Parses text; throws kCorrupt "<name>: ..." with the place of the fault.
Json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits = {});

}  // namespace tq
