#include "text/byte_alphabet.h"

#include "text/utf8.h"

namespace tq {
namespace {

constexpr int kAlphabetEnd = 0x144;  // past the last code point in use

struct Alphabet {
  std::array<char32_t, 256> to_char{};
  std::array<int, kAlphabetEnd> to_byte{};
};

const Alphabet& alphabet() {
  static const Alphabet kAlphabet = [] {
    Alphabet result;
    result.to_byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      const char32_t code_point = printable ? byte : next++;
      result.to_char[byte] = code_point;
      result.to_byte[code_point] = static_cast<int>(byte);
    }
    return result;
  }();
  return kAlphabet;
}

}  // namespace

char32_t byte_to_char(unsigned char byte) { return alphabet().to_char[byte]; }

std::string bytes_of_token(std::string_view token) {
  std::string bytes;
  bytes.reserve(token.size());
  for (size_t pos = 0; pos < token.size();) {
    const Utf8Char c = utf8_at(token, pos);
    const int byte = c.code_point < kAlphabetEnd ? alphabet().to_byte[c.code_point] : -1;
    if (byte < 0) return std::string(token);
    bytes += static_cast<char>(byte);
    pos += static_cast<size_t>(c.size_bytes);
  }
  return bytes;
}

}  // namespace tq
