// Lists of types that code is generated from.
#pragma once

#include <type_traits>

namespace tq {

template <typename... Formats>
struct FormatList {
  static constexpr int kSize = sizeof...(Formats);
};

// Where F is in the list; -1: nowhere.
template <typename F, typename... Formats>
constexpr int index_in(FormatList<Formats...>) {
  constexpr bool kSame[] = {std::is_same_v<F, Formats>...};
  for (int i = 0; i < static_cast<int>(sizeof...(Formats)); ++i) {
    if (kSame[i]) return i;
  }
  return -1;
}

}  // namespace tq
