// Attention over paged KV: one walk over the pages of a kv head for a tile of query rows, with the
// softmax kept online. What a row computes depends on its own position alone, not on the tile.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "format/hadamard.h"
#include "format/kv_formats.h"
#include "kernels/cpu/attention_rows.h"
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

// The same of keys and values; those that are part of the keys are stored with them.
template <KvFormat F>
void store_to(const KvLayerView& kv, const int64_t* slots, const KvStoreArgs& args, int64_t t) {
  const Planes<typename F::Keys> k{kv.k, kv.k_gains, kv.k_dim};
  const Planes<typename F::Values> v{kv.v, kv.v_gains, kv.v_dim};
  store_token(args.k + t * kv.n_kv_heads * kv.k_dim, kv.n_kv_heads, slots[t], k);
  if (kv.v == nullptr) return;
  store_token(args.v + t * kv.n_kv_heads * kv.v_dim, kv.n_kv_heads, slots[t], v);
}

template <KvFormat F>
void kv_store(const KvStoreArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    store_to<F>(args.kv, args.slots, args, t);
    if (args.kv.near != nullptr) store_to<KvF16>(*args.kv.near, args.near_slots, args, t);
  }
}

template <typename Vectors>
constexpr bool kIsRotated = Vectors::kBasis == InputForm::kRotated;

// The first n_keys vectors of a page of a kv head as fp32, in the basis that they are stored in: in
// place, or loaded into `scratch`.
template <typename Vectors>
const float* load_page(const Planes<Vectors>& planes, int64_t page, int64_t n_keys,
                       float* scratch) {
  const int64_t first = page * kKvBlockTokens;
  if constexpr (std::is_same_v<Vectors, PlainVectors<F32>>) {
    return reinterpret_cast<const float*>(planes.code(first));
  } else {
    for (int64_t j = 0; j < n_keys; ++j) {
      float* out = scratch + j * planes.dim;
      if constexpr (kIsRotated<Vectors>) {
        Vectors::load_rotated(planes.code(first + j), planes.gain(first + j), planes.dim, out);
      } else {
        Vectors::load(planes.code(first + j), planes.gain(first + j), planes.dim, out);
      }
    }
    return scratch;
  }
}

// What a row's scores with the keys of a page are made of.
struct PageQuery {
  const float* q;               // in the basis of the keys
  const float* bias = nullptr;  // bias_factors(), and what multiplies them; null: there is none
  const float* angles = nullptr;
  float bias_rest = 0;
};

// Scores of the keys in range: the rest of the page gets -inf, which weighs nothing.
void score_page(const AttentionArgs& args, const PageQuery& query, const float* k, KeyRange keys,
                float* scores) {
  const int64_t dim = args.kv.k_dim;
  std::fill_n(scores, kKvBlockTokens, -std::numeric_limits<float>::infinity());
  int64_t j = keys.begin;
  for (; j + 4 <= keys.end; j += 4) {
    const auto sums = dot_rows<4>(k + j * dim, dim, query.q, dim);
    std::copy(sums.begin(), sums.end(), scores + j);
  }
  for (; j < keys.end; ++j) scores[j] = dot_rows<1>(k + j * dim, dim, query.q, dim)[0];
  if (query.bias != nullptr) {
    const int64_t stride = args.key_bias.stride;
    for (j = keys.begin; j < keys.end; ++j) {
      scores[j] += dot_rows<1>(query.angles + j * stride, stride, query.bias, stride)[0];
      scores[j] += query.bias_rest;
    }
  }
  for (j = keys.begin; j < keys.end; ++j) scores[j] *= args.scale;
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

// Where a part of the keys is, and what scores it.
struct KeySource {
  KeyPart part;
  const KvLayerView& kv;
  const int32_t* block_table;        // of the tile's sequence
  const float* rotated_q = nullptr;  // [rows, k_dim]: the queries in the keys' basis; null: args.q
};

// Adds what the rows of a tile read of a part to their sums, in the basis of its values.
template <KvFormat F>
void add_part(const TileRows& rows, const KeySource& source, AttentionScratch& scratch) {
  const KvLayerView& kv = source.kv;
  const AttentionArgs& args = rows.args;
  const Planes<typename F::Keys> keys_at{kv.k, kv.k_gains, kv.k_dim};
  const Planes<typename F::Values> values_at{kv.v, kv.v_gains, kv.v_dim};
  const PartRows part(rows, source.part);
  const KeyRange all = part.all;
  for (int64_t first = all.begin / kKvBlockTokens * kKvBlockTokens; first < all.end;
       first += kKvBlockTokens) {
    const int64_t n_keys = std::min<int64_t>(kKvBlockTokens, all.end - first);
    const int64_t page =
        int64_t{source.block_table[first / kKvBlockTokens]} * kv.n_kv_heads + rows.tile.kv_head;
    const float* k = load_page(keys_at, page, n_keys, scratch.k);
    const Values v =
        kv.v == nullptr ? Values{k, kv.k_dim, kv.v_dim}
                        : Values{load_page(values_at, page, n_keys, scratch.v), kv.v_dim, kv.v_dim};
    for (int64_t i = 0; i < rows.size(); ++i) {
      const KeyRange keys = part.of_page(i, first);
      if (keys.empty()) continue;
      alignas(16) float weights[kKvBlockTokens];
      PageQuery query{source.rotated_q != nullptr ? source.rotated_q + i * kv.k_dim
                                                  : args.q + rows.vector(i) * kv.k_dim};
      if (args.key_bias.bias != nullptr) {
        query.bias = scratch.bias + i * args.key_bias.stride;
        query.angles = args.key_bias.angles + first * args.key_bias.stride;
        query.bias_rest = scratch.bias_rest[i];
      }
      score_page(args, query, k, keys, weights);
      const float factor = softmax_page(weights, scratch.max[i], scratch.sum[i]);
      accumulate_page(weights, v, keys, factor, scratch.out + i * kv.v_dim);
    }
  }
}

// The layer's own pages: of a compressed format in the rotated basis, to which each query goes once
// and out of which each sum comes once.
template <KvFormat F>
void add_far(const TileRows& rows, AttentionScratch& scratch) {
  const KvLayerView& kv = rows.args.kv;
  const RaggedBatch& batch = rows.args.batch;
  const int32_t* table = batch.block_tables + rows.tile.seq * batch.max_blocks;
  if constexpr (kIsRotated<typename F::Keys>) {
    const int k_group = kv_group(kv.k_dim);
    const int v_group = kv_group(kv.v_dim);
    for (int64_t i = 0; i < rows.size(); ++i) {
      float* q = scratch.q + i * kv.k_dim;
      std::copy_n(rows.args.q + rows.vector(i) * kv.k_dim, kv.k_dim, q);
      for (int64_t d = 0; d < kv.k_dim; d += k_group) rotate_group(q + d, k_group);
    }
    add_part<F>(rows, {KeyPart::kFar, kv, table, scratch.q}, scratch);
    for (int64_t i = 0; i < rows.size(); ++i) {
      if (rows.keys(i, KeyPart::kFar).empty()) continue;
      float* out = scratch.out + i * kv.v_dim;
      for (int64_t d = 0; d < kv.v_dim; d += v_group) unrotate_group(out + d, v_group);
    }
  } else {
    add_part<F>(rows, {KeyPart::kFar, kv, table}, scratch);
  }
}

template <KvFormat F>
void attention(const AttentionArgs& args, const AttentionTile& tile, AttentionScratch& scratch) {
  const TileRows rows{args, tile};
  const KvLayerView& kv = args.kv;
  for (int64_t i = 0; i < rows.size(); ++i) {
    start_row(rows, i, scratch);
    std::fill_n(scratch.out + i * kv.v_dim, kv.v_dim, 0.0f);
  }
  if (args.key_bias.bias != nullptr) fill_bias(rows, scratch);
  if (!PartRows(rows, KeyPart::kFar).all.empty()) add_far<F>(rows, scratch);
  if (kv.near != nullptr) {
    const int32_t* table = args.batch.near_tables + tile.seq * args.batch.max_blocks;
    add_part<KvF16>(rows, {KeyPart::kSinks, *kv.near, table}, scratch);
    add_part<KvF16>(rows, {KeyPart::kTail, *kv.near, table}, scratch);
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
