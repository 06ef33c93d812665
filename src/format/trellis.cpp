#include "format/trellis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "format/codebook.h"
#include "format/trellis_encoder.h"
#include "format/trellis_tables.h"

namespace tq {
namespace {

// One table with the memory its spans point to.
struct TrellisEntry {
  alignas(64) std::array<float, kWindows> values{};
  alignas(64) std::array<int8_t, kWindows> integers{};
  alignas(64) std::array<int8_t, kTrellisKeys> newest{};
  alignas(64) std::array<int8_t, kTrellisKeys> older{};
  TrellisTable table{};
};

// A key is the last four bits: of 3 bits the index (in the upper three) and the top bit of the one
// before it.
void fill_keys(const TrellisParts3& parts, TrellisEntry& entry) {
  for (int key = 0; key < kTrellisKeys; ++key) {
    entry.newest[key] = parts.kNewest[key >> 1];
    entry.older[key] = static_cast<int8_t>(parts.kPrevious[key >> 1] + parts.kEarlier[key & 1]);
  }
}
// Of 4 bits the index, whose top three bits a window still has after it.
void fill_keys(const TrellisParts4& parts, TrellisEntry& entry) {
  for (int key = 0; key < kTrellisKeys; ++key) {
    entry.newest[key] = parts.kNewest[key];
    entry.older[key] = parts.kPrevious[key >> 1];
  }
}

template <typename Parts>
void build_trellis(int bits, int group, TrellisEntry& entry) {
  fill_keys(Parts{}, entry);
  entry.table = {bits, group, entry.values, entry.integers, 0, entry.newest, entry.older};
  entry.table.unit = static_cast<float>(Parts::kUnit / std::sqrt(double(group)));
  for (int window = 0; window < kWindows; ++window) {
    // Of 4 bits the key before has lost its lowest bit, on which nothing depends.
    const int before = bits == 4 ? (window & 7) << 1 : window & 15;
    const int integer = entry.newest[window >> 3] + entry.older[before];
    TQ_CHECK(integer >= -127 && integer <= 127, "value {} of a trellis table", integer);
    entry.integers[window] = static_cast<int8_t>(integer);
    entry.values[window] = static_cast<float>(integer) * entry.table.unit;
  }
}

struct TrellisLibrary {
  std::array<TrellisEntry, kCodeGroups.size()> three, four;
  TrellisLibrary() {
    for (size_t g = 0; g < kCodeGroups.size(); ++g) {
      build_trellis<TrellisParts3>(3, kCodeGroups[g], three[g]);
      build_trellis<TrellisParts4>(4, kCodeGroups[g], four[g]);
    }
  }
};

}  // namespace

const TrellisTable& trellis_table(int bits, int group) {
  static const TrellisLibrary library;
  const auto* position = std::find(kCodeGroups.begin(), kCodeGroups.end(), group);
  TQ_CHECK(bits == 3 || bits == 4, "no trellis table of {} bits", bits);
  TQ_CHECK(position != kCodeGroups.end(), "no trellis table for groups of {}", group);
  const auto& entries = bits == 3 ? library.three : library.four;
  return entries[position - kCodeGroups.begin()].table;
}

EncodeStats encode_trellis_row(int bits, const float* x, int64_t in_padded, int group,
                               const EncodeOptions& options, uint8_t* codes, float* gains) {
  static const TrellisCoders& coders = trellis_coders(selected_isa());
  return encode_trellis_row(coders.by_bits[static_cast<size_t>(bits)], bits, x, in_padded, group,
                            options, codes, gains);
}

}  // namespace tq
