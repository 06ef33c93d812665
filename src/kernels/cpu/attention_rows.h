// Which rows of the batch an attention's tile has, and which keys each of them reads where: what
// the attention kernels of all instruction sets share. All of it depends on the row's own position
// and sequence alone, never on the tile. Private to kernels/cpu.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

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

  // The row's query head.
  int64_t head(int64_t i) const { return tile.kv_head * group + (tile.row_begin + i) % group; }

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
};

// What the rows of a tile read of a part.
struct PartRows {
  KeyRange own[kAttentionRows];
  KeyRange all{0, 0};  // that any of them reads

  PartRows(const TileRows& rows, KeyPart part) {
    for (int64_t i = 0; i < rows.size(); ++i) {
      own[i] = rows.keys(i, part);
      if (own[i].empty()) continue;
      all = all.empty()
                ? own[i]
                : KeyRange{std::min(all.begin, own[i].begin), std::max(all.end, own[i].end)};
    }
  }
  // Row i's, of the page that begins at position `first`.
  KeyRange of_page(int64_t i, int64_t first) const {
    return {std::clamp<int64_t>(own[i].begin - first, 0, kKvBlockTokens),
            std::clamp<int64_t>(own[i].end - first, 0, kKvBlockTokens)};
  }
};

// Largest score and sum of a row before its first key: a sink is one score more, without a value.
inline void start_row(const TileRows& rows, int64_t i, AttentionScratch& scratch) {
  const float* sinks = rows.args.sink_scores;
  scratch.max[i] = sinks != nullptr ? sinks[rows.head(i)] : -std::numeric_limits<float>::infinity();
  scratch.sum[i] = sinks != nullptr ? 1.0f : 0.0f;
}

// q . rope(bias) at a position is the sum over pairs of f[j] * cos + f[n_pairs + j] * sin of the
// position's angles, and what the dims beyond the pairs give, which is returned. Writes
// f [key_bias.stride] for a query of a kv head.
inline float bias_factors(const AttentionArgs& args, const float* q, int64_t kv_head, float* f) {
  const KeyBias& key = args.key_bias;
  const float* bias = key.bias + kv_head * args.kv.k_dim;
  const int64_t step = key.interleaved ? 2 : 1;
  const int64_t distance = key.interleaved ? 1 : key.n_pairs;
  std::fill_n(f, key.stride, 0.0f);
  for (int64_t j = 0; j < key.n_pairs; ++j) {
    const int64_t a = j * step;
    const int64_t b = a + distance;
    f[j] = q[a] * bias[a] + q[b] * bias[b];
    f[key.n_pairs + j] = q[b] * bias[a] - q[a] * bias[b];
  }
  float rest = 0;
  for (int64_t i = 2 * key.n_pairs; i < args.kv.k_dim; ++i) rest += q[i] * bias[i];
  return rest;
}

// The factors of all rows of a tile.
inline void fill_bias(const TileRows& rows, AttentionScratch& scratch) {
  const AttentionArgs& args = rows.args;
  for (int64_t i = 0; i < rows.size(); ++i) {
    scratch.bias_rest[i] = bias_factors(args, args.q + rows.vector(i) * args.kv.k_dim,
                                        rows.tile.kv_head, scratch.bias + i * args.key_bias.stride);
  }
}

}  // namespace tq
