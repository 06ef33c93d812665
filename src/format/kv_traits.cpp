#include "format/kv_traits.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "format/kv_formats.h"

namespace tq {
namespace {

template <KvFormat... Formats>
constexpr auto expand_kv(FormatList<Formats...>) {
  return std::array<KvFormatTraits, sizeof...(Formats)>{KvFormatTraits{
      kv_format_id<Formats>(), Formats::kName, kv_vector_traits<typename Formats::Keys>(),
      kv_vector_traits<typename Formats::Values>()}...};
}

constexpr auto kKvFormats = expand_kv(AllKvFormats{});

}  // namespace

std::span<const KvFormatTraits> all_kv_formats() { return kKvFormats; }

const KvFormatTraits& kv_format_traits(KvFormatId id) {
  const auto index = static_cast<size_t>(id);
  TQ_CHECK(index < kKvFormats.size(), "no KV format has id {}", index);
  return kKvFormats[index];
}

const KvFormatTraits* find_kv_format(std::string_view name) {
  const auto found =
      std::find_if(kKvFormats.begin(), kKvFormats.end(),
                   [&](const KvFormatTraits& format) { return format.name == name; });
  return found == kKvFormats.end() ? nullptr : &*found;
}

KvFormatId default_kv_format(bool exact) {
  return exact ? kv_format_id<KvF32>() : kv_format_id<KvF16>();
}

}  // namespace tq
