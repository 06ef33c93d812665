// GPT-2's alphabet of byte-level BPE: each of the 256 bytes is written as one printable character
// (printable Latin-1 as itself, the others as U+0100, U+0101, ...). Thread safe.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace tq {

// The code point that stands for a byte.
char32_t byte_to_char(unsigned char byte);

// The bytes a token stands for; the token itself when it has a character outside the alphabet.
std::string bytes_of_token(std::string_view token);

}  // namespace tq
