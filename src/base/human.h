// Sizes, counts and times for people, and as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tq {

// Decimal units: "812 B", "1.50 kB", "97.5 MB", "14.2 GB".
std::string human_bytes(double bytes);
// "134.5M", "7.24B": counts such as parameters.
std::string human_count(double count);
// "0.42 s", "12 s", "3 min 05 s", "2 h 07 min".
std::string human_seconds(double seconds);
// Binary units, for the sizes of memory that users give: "8 GiB", "1.50 MiB".
std::string human_binary_bytes(double bytes);

// A number of bytes: "12GiB", "1.5GB", "500m", "4096". K, M, G and T are powers of 1000, with an i
// of 1024; B, case and blanks before the unit do not matter. Nothing for what is no such size, is
// negative or has no int64.
std::optional<int64_t> parse_bytes(std::string_view text);
// A number of tokens: "4096", "4k", "128K", "1M". Contexts are multiples of powers of two, so k is
// 1024. Nothing as above, and where no whole number comes out.
std::optional<int64_t> parse_tokens(std::string_view text);

}  // namespace tq
