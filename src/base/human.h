// Sizes, counts and times for people.
#pragma once

#include <string>

namespace tq {

// Decimal units: "812 B", "1.50 kB", "97.5 MB", "14.2 GB".
std::string human_bytes(double bytes);
// "134.5M", "7.24B": counts such as parameters.
std::string human_count(double count);
// "0.42 s", "12 s", "3 min 05 s", "2 h 07 min".
std::string human_seconds(double seconds);

}  // namespace tq
