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

namespace internal {
template <template <int> class Codec, int kBits>
std::true_type derives_from(const Codec<kBits>*);
template <template <int> class Codec>
std::false_type derives_from(const void*);
}  // namespace internal

// Whether F derives from the codec, of any width.
template <typename F, template <int> class Codec>
constexpr bool kDerivesFrom =
    decltype(internal::derives_from<Codec>(static_cast<const F*>(nullptr)))::value;

}  // namespace tq
