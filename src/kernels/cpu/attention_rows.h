// Which rows of the batch an attention's tile has, and which keys each of them reads where: what
// the attention kernels of all instruction sets share. All of it depends on the row's own position
// and sequence alone, never on the tile. Private to kernels/cpu.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/kernels.h"

namespace tq {

// Positions [begin, end) of keys, in a sequence or in a page.
struct KeyRange {
  int64_t begin;
  int64_t end;
  bool operator==(const KeyRange&) const = default;
  bool empty() const { return begin >= end; }
};

// The parts that the keys of a row are in. Without near pages (KvLayerView::near) all are kFar.
enum class KeyPart : uint8_t {
  kFar,    // read from the layer's own pages
  kSinks,  // the first tokens of the sequence, from near pages
  kTail,   // the last ones, likewise; where the tail reaches the sinks they are part of it
};

struct TileRows {
  const AttentionArgs& args;
  const AttentionTile& tile;
  int64_t group = args.n_heads / args.kv.n_kv_heads;
  int64_t first_token = args.batch.q_begin[tile.seq];
  int64_t first_position =
      args.batch.kv_len[tile.seq] - (args.batch.q_begin[tile.seq + 1] - first_token);

  int64_t size() const { return tile.row_end - tile.row_begin; }
  int64_t position(int64_t i) const { return first_position + (tile.row_begin + i) / group; }
  // Index of the row's vector in [tokens, n_heads].
  int64_t vector(int64_t i) const {
    const int64_t row = tile.row_begin + i;
    return (first_token + row / group) * args.n_heads + tile.kv_head * group + row % group;
  }

  // The positions that the row reads of a part.
  KeyRange keys(int64_t i, KeyPart part) const {
    const int64_t end = position(i) + 1;
    const int64_t first = args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0;
    const KvLayerView& kv = args.kv;
    if (kv.near == nullptr) return part == KeyPart::kFar ? KeyRange{first, end} : KeyRange{0, 0};
    int64_t tail = std::max<int64_t>(end - kv.tail, args.batch.near_begin[tile.seq]);
    if (tail <= kv.sinks) tail = 0;
    const int64_t sinks = std::min(kv.sinks, tail);
    switch (part) {
      case KeyPart::kFar:
        return {std::max(first, sinks), tail};
      case KeyPart::kSinks:
        return {first, sinks};
      default:
        return {std::max(first, tail), end};
    }
  }
  // Of the page that begins at position `first`.
  KeyRange keys_of_page(int64_t i, KeyPart part, int64_t first) const {
    const KeyRange all = keys(i, part);
    return {std::clamp<int64_t>(all.begin - first, 0, kKvBlockTokens),
            std::clamp<int64_t>(all.end - first, 0, kKvBlockTokens)};
  }
  // The positions that any row reads of a part.
  KeyRange all_keys(KeyPart part) const {
    KeyRange all{0, 0};
    for (int64_t i = 0; i < size(); ++i) {
      const KeyRange own = keys(i, part);
      if (own.empty()) continue;
      all =
          all.empty() ? own : KeyRange{std::min(all.begin, own.begin), std::max(all.end, own.end)};
    }
    return all;
  }
};

}  // namespace tq
