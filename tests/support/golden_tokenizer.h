// The tokenizers of tests/golden/tokenizer.
#pragma once

#include <string>

#include "base/file.h"
#include "base/json.h"

namespace tq::fixtures {

inline Json golden_tokenizer(const std::string& name) {
  const fs::path path = fs::path(TQ_TEST_DATA "/golden/tokenizer") / (name + ".json");
  return parse_json(read_text_file(path), name);
}

}  // namespace tq::fixtures
