// The compound operators about attention against their parts; see compound_operators.h.
#pragma once

#include <algorithm>
#include <vector>

#include "unit/backend/compound_operators.h"

namespace tq::fixtures {

// Sequences that have something in their cache already, each with a token to store and to attend
// with, and two caches that hold the same: one for a compound operator, one for its parts.
class CachedStep {
 public:
  CachedStep(OnBackend& on, int64_t tokens, int64_t n_kv_heads, int64_t k_dim, int64_t v_dim,
             bool latent)
      : on_(on), tokens_(tokens) {
    std::vector<int32_t> begin, lengths, tables;
    std::vector<int64_t> slots;
    for (int32_t s = 0; s <= tokens; ++s) begin.push_back(s);
    for (int32_t s = 0; s < tokens; ++s) {
      lengths.push_back(1 + s * 7 % static_cast<int32_t>(kMaxLength));
      slots.push_back(s * kBlocks * kKvBlockTokens + lengths.back() - 1);
    }
    for (int32_t b = 0; b < tokens * kBlocks; ++b) tables.push_back(b);
    slots_ = on.put(slots);
    batch_ = {.n_seqs = tokens,
              .q_begin = on.put(begin),
              .kv_len = on.put(lengths),
              .block_tables = on.put(tables),
              .max_blocks = kBlocks,
              .tokens = tokens,
              .max_kv_len = kMaxLength};
    const int64_t vectors = tokens * kBlocks * kKvBlockTokens * n_kv_heads;
    k_elements_ = vectors * k_dim;
    v_elements_ = latent ? 0 : vectors * v_dim;
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> k(static_cast<size_t>(k_elements_)), v(static_cast<size_t>(v_elements_));
    for (std::vector<uint16_t>* plane : {&k, &v}) {
      for (uint16_t& value : *plane) value = f32_to_f16(normal(random));
    }
    for (KvLayerView* kv : {&got_, &expected_}) {
      *kv = {default_kv_format(),         tokens * kBlocks, n_kv_heads, k_dim, v_dim, on.put(k),
             latent ? nullptr : on.put(v)};
    }
  }

  const KvLayerView& got() const { return got_; }
  const KvLayerView& expected() const { return expected_; }
  const int64_t* slots() const { return slots_; }
  // Over the cache, which is got() or expected().
  AttentionArgs attention(const KvLayerView& kv, const float* q, int64_t n_heads) {
    AttentionArgs args{.kv = kv,
                       .batch = batch_,
                       .q = q,
                       .n_heads = n_heads,
                       .scale = 0.1f,
                       .window = 0,
                       .softcap = 0,
                       .out = on_.room(tokens_ * n_heads * kv.v_dim)};
    args.workspace = on_.room<uint8_t>(static_cast<int64_t>(on_.backend.attention_bytes(args)) + 1);
    return args;
  }
  void expect_equal_caches() {
    on_.expect_equal(floats(got_.k, k_elements_), floats(expected_.k, k_elements_), "keys");
    if (v_elements_ == 0) return;
    on_.expect_equal(floats(got_.v, v_elements_), floats(expected_.v, v_elements_), "values");
  }

 private:
  static constexpr int64_t kMaxLength = 60;
  static constexpr int64_t kBlocks = 4;  // of a sequence

  std::vector<float> floats(const void* plane, int64_t n) {
    std::vector<float> out;
    for (const uint16_t bits : on_.read(static_cast<const uint16_t*>(plane), n)) {
      out.push_back(f16_to_f32(bits));
    }
    return out;
  }

  OnBackend& on_;
  int64_t tokens_;
  int64_t* slots_;
  RaggedBatch batch_;
  int64_t k_elements_, v_elements_;
  KvLayerView got_, expected_;
};

constexpr int64_t kHeads = 6;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kHeadDim = 64;
constexpr int64_t kPairs = 20;  // of a head, which are rotated

// Variants: norms of the heads and of values, values that are keys, no keys at all.
inline std::vector<AttentionInputsArgs> kinds_of_heads(OnBackend& on, int64_t tokens,
                                                       const CachedStep& step) {
  std::vector<AttentionInputsArgs> kinds;
  for (const int variant : {0, 1, 2, 3}) {
    kinds.push_back({.q = on.random(tokens * kHeads * kHeadDim),
                     .k = variant == 3 ? nullptr : on.random(tokens * kKvHeads * kHeadDim),
                     .v = on.random(tokens * kKvHeads * kHeadDim),
                     .v_is_k = variant == 2,
                     .tokens = tokens,
                     .n_heads = kHeads,
                     .head_dim = kHeadDim,
                     .qk_norm = variant > 0,
                     .q_norm = on.random(kHeadDim),
                     .k_norm = variant == 2 ? nullptr : on.random(kHeadDim),
                     .v_norm = variant == 2,
                     .eps = kEps,
                     .n_pairs = kPairs,
                     .interleaved = variant == 1,
                     .cos = on.random(tokens * kPairs),
                     .sin = on.random(tokens * kPairs),
                     .kv = step.got(),
                     .slots = step.slots()});
  }
  return kinds;
}

// attention_inputs by its parts, into the other cache; returns the queries.
inline float* made_inputs(OnBackend& on, const CachedStep& step, const AttentionInputsArgs& args) {
  const auto make = [&](float* x, int64_t heads, bool normed, const float* norm, bool rotated) {
    const int64_t n = args.tokens * heads;
    float* out = on.copy(x, n * kHeadDim);
    if (normed) on.backend.rms_norm({out, norm, kEps, n, kHeadDim, out});
    if (rotated) {
      on.backend.rope({out, args.tokens, heads, kHeadDim, heads * kHeadDim, kPairs,
                       args.interleaved, args.cos, args.sin});
    }
    return out;
  };
  if (args.k != nullptr) {
    const float* v = make(args.v_is_k ? args.k : args.v, kKvHeads, args.v_norm, nullptr, false);
    const float* k = make(args.k, kKvHeads, args.qk_norm, args.k_norm, true);
    on.backend.kv_store({step.expected(), args.slots, args.tokens, k, v});
  }
  return make(args.q, kHeads, args.qk_norm, args.q_norm, true);
}

inline void check_attention_inputs(OnBackend& on, int64_t tokens) {
  CachedStep step(on, tokens, kKvHeads, kHeadDim, kHeadDim, false);
  for (const AttentionInputsArgs& args : kinds_of_heads(on, tokens, step)) {
    const float* q = made_inputs(on, step, args);
    on.backend.attention_inputs(args);
    on.expect_equal(args.q, q, tokens * kHeads * kHeadDim, "queries");
    step.expect_equal_caches();
  }
}

constexpr int64_t kRank = 64;
constexpr int64_t kNope = 24;
constexpr int64_t kLatentPairs = 8;
constexpr int64_t kKeyDim = kRank + 2 * kLatentPairs;

inline LatentInputsArgs latent_args(OnBackend& on, int64_t tokens, const CachedStep& step,
                                    bool interleaved) {
  return {.latent = on.random(tokens * kKeyDim),
          .latent_norm = on.random(kRank),
          .eps = kEps,
          .q = on.random(tokens * kHeads * (kNope + 2 * kLatentPairs)),
          .nope_dim = kNope,
          .query = on.random(tokens * kHeads * kKeyDim),
          .tokens = tokens,
          .n_heads = kHeads,
          .kv_rank = kRank,
          .n_pairs = kLatentPairs,
          .interleaved = interleaved,
          .cos = on.random(tokens * kLatentPairs),
          .sin = on.random(tokens * kLatentPairs),
          .kv = step.got(),
          .slots = step.slots()};
}

// latent_inputs by its parts, into the other cache; returns the queries.
inline float* made_inputs(OnBackend& on, const CachedStep& step, const LatentInputsArgs& args) {
  const auto rotate = [&](float* x, int64_t heads) {
    on.backend.rope({x, args.tokens, heads, kKeyDim, heads * kKeyDim, kLatentPairs,
                     args.interleaved, args.cos, args.sin});
  };
  float* latent = on.copy(args.latent, args.tokens * kKeyDim);
  on.backend.rms_norm({latent, args.latent_norm, kEps, args.tokens, kRank, latent, kKeyDim});
  rotate(latent + kRank, 1);
  on.backend.kv_store({step.expected(), args.slots, args.tokens, latent, nullptr});
  float* query = on.copy(args.query, args.tokens * kHeads * kKeyDim);
  on.backend.gather_rows({.x = args.q + kNope,
                          .n = args.tokens * kHeads,
                          .dim = 2 * kLatentPairs,
                          .out = query + kRank,
                          .x_stride = kNope + 2 * kLatentPairs,
                          .out_stride = kKeyDim});
  rotate(query + kRank, kHeads);
  return query;
}

inline void check_latent_inputs(OnBackend& on, int64_t tokens) {
  CachedStep step(on, tokens, 1, kKeyDim, kRank, true);
  for (const bool interleaved : {false, true}) {
    const LatentInputsArgs args = latent_args(on, tokens, step, interleaved);
    const float* query = made_inputs(on, step, args);
    on.backend.latent_inputs(args);
    on.expect_equal(args.query, query, tokens * kHeads * kKeyDim, "queries");
    step.expect_equal_caches();
  }
}

// attention_prepared() and its parts, for a product with `reader`.
template <typename Inputs>
void check_prepared(OnBackend& on, CachedStep& step, const Inputs& inputs, float* q,
                    const WeightView& reader, int64_t rows) {
  const float* expected_q = made_inputs(on, step, inputs);
  const AttentionArgs expected = step.attention(step.expected(), expected_q, kHeads);
  on.backend.attention(expected);
  const std::vector<float> expected_product =
      on.product(reader, on.prepare(expected.out, rows, reader));
  const AttentionArgs args = step.attention(step.got(), q, kHeads);
  const Activation got =
      on.backend.attention_prepared(inputs, args, on.prepare_args(args.out, rows, reader));
  on.expect_equal(on.product(reader, got), expected_product, "product");
  step.expect_equal_caches();
}

inline void check_attention_prepared(OnBackend& on, int64_t tokens) {
  CachedStep step(on, tokens, kKvHeads, kHeadDim, kHeadDim, false);
  const WeightView reader = on.weight("tq4", 40, kHeads * kHeadDim);
  for (const AttentionInputsArgs& inputs : kinds_of_heads(on, tokens, step)) {
    check_prepared(on, step, inputs, inputs.q, reader, tokens);
  }
}

// The result's heads are rows of the next product.
inline void check_latent_attention_prepared(OnBackend& on, int64_t tokens) {
  CachedStep step(on, tokens, 1, kKeyDim, kRank, true);
  const WeightView reader = on.weight("tq4", 40, kRank);
  for (const bool interleaved : {false, true}) {
    const LatentInputsArgs inputs = latent_args(on, tokens, step, interleaved);
    check_prepared(on, step, inputs, inputs.query, reader, tokens * kHeads);
  }
}

}  // namespace tq::fixtures
