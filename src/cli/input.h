// Text that comes from stdin.
#pragma once

#include <cstdint>
#include <string>

namespace tq {

// All of stdin, at most what a text file may have (read_text_file). what: "the prompt", for a
// person at a terminal and for messages. Throws kInvalidArgument beyond, kIo.
std::string read_stdin(const char* what, int64_t max_bytes = int64_t{64} << 20);

}  // namespace tq
