// Validators for options that take sizes as people write them; they turn the text into the plain
// number that the option's variable holds.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>

namespace tq {

// Of bytes: "12GiB", "4GB", "500m" (base/human.h, parse_bytes).
CLI::Validator byte_size();

// Of tokens: "4096", "32k", "1M" (parse_tokens), from `least` to `most`.
CLI::Validator token_count(int64_t least, int64_t most);

}  // namespace tq
