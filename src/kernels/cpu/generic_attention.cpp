// Attention over paged KV: one walk over the pages of a kv head for a tile of query rows, with the
// softmax kept online. What a row computes depends on its own position alone, not on the tile.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "format/kv_formats.h"
#include "kernels/cpu/generic.h"
#include "kernels/cpu/vector_math.h"

namespace tq::generic {
namespace {

// The planes of a layer's keys or values, whose vectors have `dim` numbers; vector (block, kv head,
// offset) is number (block * n_kv_heads + kv head) * 16 + offset.
template <typename Vectors>
struct Planes {
  void* codes;
  uint16_t* gains;
  int64_t dim;

  uint8_t* code(int64_t vector) const {
    return static_cast<uint8_t*>(codes) + vector * Vectors::code_bytes(dim);
  }
  uint16_t* gain(int64_t vector) const {
    const int64_t n = Vectors::n_gains(dim);
    return n == 0 ? nullptr : gains + vector * n;
  }
};

// Writes a token's vectors x [n_kv_heads, dim] to `slot`.
template <typename Vectors>
void store_token(const float* x, int64_t n_kv_heads, int64_t slot, const Planes<Vectors>& planes) {
  const int64_t block = slot / kKvBlockTokens;
  const int64_t offset = slot % kKvBlockTokens;
  for (int64_t h = 0; h < n_kv_heads; ++h) {
    const int64_t vector = (block * n_kv_heads + h) * kKvBlockTokens + offset;
    Vectors::store(x + h * planes.dim, planes.dim, planes.code(vector), planes.gain(vector));
  }
}

template <KvFormat F>
void kv_store(const KvStoreArgs& args, int64_t begin, int64_t end) {
  const KvLayerView& kv = args.kv;
  const Planes<typename F::Keys> k{kv.k, kv.k_gains, kv.k_dim};
  const Planes<typename F::Values> v{kv.v, kv.v_gains, kv.v_dim};
  for (int64_t t = begin; t < end; ++t) {
    store_token(args.k + t * kv.n_kv_heads * kv.k_dim, kv.n_kv_heads, args.slots[t], k);
    if (kv.v == nullptr) continue;  // part of the keys
    store_token(args.v + t * kv.n_kv_heads * kv.v_dim, kv.n_kv_heads, args.slots[t], v);
  }
}

// The first n_keys vectors of a page of a kv head as fp32: in place, or loaded into `scratch`.
template <typename Vectors>
const float* load_page(const Planes<Vectors>& planes, int64_t page, int64_t n_keys,
                       float* scratch) {
  const int64_t first = page * kKvBlockTokens;
  if constexpr (std::is_same_v<Vectors, PlainVectors<F32>>) {
    return reinterpret_cast<const float*>(planes.code(first));
  } else {
    for (int64_t j = 0; j < n_keys; ++j) {
      Vectors::load(planes.code(first + j), planes.gain(first + j), planes.dim,
                    scratch + j * planes.dim);
    }
    return scratch;
  }
}

// The keys [begin, end) of a page that a row sees.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

// Scores of the keys in range: the rest of the page gets -inf, which weighs nothing.
void score_page(const AttentionArgs& args, const float* q, const float* k, KeyRange keys,
                float* scores) {
  const int64_t dim = args.kv.k_dim;
  std::fill_n(scores, kKvBlockTokens, -std::numeric_limits<float>::infinity());
  int64_t j = keys.begin;
  for (; j + 4 <= keys.end; j += 4) {
    const auto sums = dot_rows<4>(k + j * dim, dim, q, dim);
    for (int i = 0; i < 4; ++i) scores[j + i] = sums[static_cast<size_t>(i)] * args.scale;
  }
  for (; j < keys.end; ++j) scores[j] = dot_rows<1>(k + j * dim, dim, q, dim)[0] * args.scale;
  if (args.softcap > 0) {
    for (j = keys.begin; j < keys.end; ++j) {
      scores[j] = args.softcap * fast_tanh(scores[j] / args.softcap);
    }
  }
}

// Turns the scores of a page into weights relative to the new maximum, and updates maximum and sum.
// Returns the factor for what was summed before.
float softmax_page(float* scores, float& max, float& sum) {
  float maxima[4] = {max, max, max, max};
  for (int j = 0; j < kKvBlockTokens; j += 4) {
    for (int k = 0; k < 4; ++k) maxima[k] = std::max(maxima[k], scores[j + k]);
  }
  const float new_max = std::max(std::max(maxima[0], maxima[1]), std::max(maxima[2], maxima[3]));
  float sums[4] = {};
  for (int j = 0; j < kKvBlockTokens; ++j) scores[j] = fast_exp(scores[j] - new_max);
  for (int j = 0; j < kKvBlockTokens; j += 4) {
    for (int k = 0; k < 4; ++k) sums[k] += scores[j + k];
  }
  const float factor = fast_exp(max - new_max);
  max = new_max;
  sum = sum * factor + ((sums[0] + sums[2]) + (sums[1] + sums[3]));
  return factor;
}

// The values of a page: v[j] begins at data + j * stride.
struct Values {
  const float* data;
  int64_t stride;
  int64_t dim;
};

// out = out * factor + sum_j weights[j] * v[j], for kVectors * 4 of the dims from `first`.
template <int kVectors>
void add_values(const float* weights, const Values& v, int64_t first, KeyRange keys, float factor,
                float* out) {
  out += first;
  Float4 sums[kVectors];
  for (int i = 0; i < kVectors; ++i) sums[i] = load4(out + 4 * i) * factor;
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const float* value = v.data + j * v.stride + first;
    for (int i = 0; i < kVectors; ++i) sums[i] += load4(value + 4 * i) * weights[j];
  }
  std::memcpy(out, sums, sizeof(sums));
}

void accumulate_page(const float* weights, const Values& v, KeyRange keys, float factor,
                     float* out) {
  int64_t i = 0;
  for (; i + 16 <= v.dim; i += 16) add_values<4>(weights, v, i, keys, factor, out);
  for (; i + 4 <= v.dim; i += 4) add_values<1>(weights, v, i, keys, factor, out);
  for (; i < v.dim; ++i) {
    float sum = out[i] * factor;
    for (int64_t j = keys.begin; j < keys.end; ++j) sum += v.data[j * v.stride + i] * weights[j];
    out[i] = sum;
  }
}

// Where the rows of a tile are in the batch.
struct TileRows {
  const AttentionArgs& args;
  const AttentionTile& tile;
  int64_t group = args.n_heads / args.kv.n_kv_heads;
  int64_t first_token = args.batch.q_begin[tile.seq];
  int64_t first_position =
      args.batch.kv_len[tile.seq] - (args.batch.q_begin[tile.seq + 1] - first_token);

  int64_t size() const { return tile.row_end - tile.row_begin; }
  int64_t position(int64_t i) const { return first_position + (tile.row_begin + i) / group; }
  int64_t first_key(int64_t i) const {
    return args.window > 0 ? std::max<int64_t>(0, position(i) - args.window + 1) : 0;
  }
  // Index of the row's vector in [tokens, n_heads].
  int64_t vector(int64_t i) const {
    const int64_t row = tile.row_begin + i;
    return (first_token + row / group) * args.n_heads + tile.kv_head * group + row % group;
  }
};

template <KvFormat F>
void attention(const AttentionArgs& args, const AttentionTile& tile, AttentionScratch& scratch) {
  const TileRows rows{args, tile};
  const KvLayerView& kv = args.kv;
  for (int64_t i = 0; i < rows.size(); ++i) {
    scratch.max[i] = -std::numeric_limits<float>::infinity();
    scratch.sum[i] = 0;
    std::fill_n(scratch.out + i * kv.v_dim, kv.v_dim, 0.0f);
  }
  const Planes<typename F::Keys> keys_at{kv.k, kv.k_gains, kv.k_dim};
  const Planes<typename F::Values> values_at{kv.v, kv.v_gains, kv.v_dim};
  const int64_t last = rows.position(rows.size() - 1);
  const int32_t* block_table = args.batch.block_tables + tile.seq * args.batch.max_blocks;
  for (int64_t block = rows.first_key(0) / kKvBlockTokens; block <= last / kKvBlockTokens;
       ++block) {
    const int64_t first = block * kKvBlockTokens;
    const int64_t n_keys = std::min<int64_t>(kKvBlockTokens, last + 1 - first);
    const int64_t page = int64_t{block_table[block]} * kv.n_kv_heads + tile.kv_head;
    const float* k = load_page(keys_at, page, n_keys, scratch.k);
    const Values v =
        kv.v == nullptr ? Values{k, kv.k_dim, kv.v_dim}
                        : Values{load_page(values_at, page, n_keys, scratch.v), kv.v_dim, kv.v_dim};
    for (int64_t i = 0; i < rows.size(); ++i) {
      const KeyRange keys{std::max<int64_t>(0, rows.first_key(i) - first),
                          std::min(n_keys, rows.position(i) + 1 - first)};
      if (keys.begin >= keys.end) continue;
      alignas(16) float weights[kKvBlockTokens];
      score_page(args, args.q + rows.vector(i) * kv.k_dim, k, keys, weights);
      const float factor = softmax_page(weights, scratch.max[i], scratch.sum[i]);
      accumulate_page(weights, v, keys, factor, scratch.out + i * kv.v_dim);
    }
  }
  for (int64_t i = 0; i < rows.size(); ++i) {
    float* out = args.out + rows.vector(i) * kv.v_dim;
    const float inverse = 1.0f / scratch.sum[i];
    for (int64_t d = 0; d < kv.v_dim; ++d) out[d] = scratch.out[i * kv.v_dim + d] * inverse;
  }
}

template <KvFormat... Formats>
void fill(CpuKernels& table, FormatList<Formats...>) {
  ((table.kv_store[static_cast<size_t>(kv_format_id<Formats>())] = kv_store<Formats>), ...);
  ((table.attention[static_cast<size_t>(kv_format_id<Formats>())] = attention<Formats>), ...);
}

}  // namespace

void fill_attention(CpuKernels& table) { fill(table, AllKvFormats{}); }

}  // namespace tq::generic
