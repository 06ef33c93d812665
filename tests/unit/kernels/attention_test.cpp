// The attention and KV store kernels against the definition in double precision.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "support/kv_formats.h"
#include "support/paged_attention.h"
#include "testing.h"

namespace tq {
namespace {

using fixtures::AttentionCase;
using fixtures::PagedBatch;

class Attention : public fixtures::IsaTest {
 protected:
  void store(PagedBatch& batch, KvFormatId format) {
    for (int64_t s = 0; s < batch.n_seqs(); ++s) {
      const KvStoreArgs args = batch.store_args(s);
      const auto kernel = kernels().kv_store[static_cast<size_t>(format)];
      kernel(args, 0, args.tokens / 2);
      kernel(args, args.tokens / 2, args.tokens);
    }
  }

  void attend(PagedBatch& batch, KvFormatId format, int64_t tile_rows) {
    const auto scratch = std::make_unique<AttentionScratch>();
    const AttentionArgs args = batch.attention_args();
    for (int64_t s = 0; s < args.batch.n_seqs; ++s) {
      const int64_t rows =
          (args.batch.q_begin[s + 1] - args.batch.q_begin[s]) * (args.n_heads / args.kv.n_kv_heads);
      for (int64_t head = 0; head < args.kv.n_kv_heads; ++head) {
        for (int64_t row = 0; row < rows; row += tile_rows) {
          kernels().attention[static_cast<size_t>(format)](
              args, {s, head, row, std::min(rows, row + tile_rows)}, *scratch);
        }
      }
    }
  }

  void check(const AttentionCase& shape) {
    PagedBatch batch(shape);
    store(batch, shape.format);
    attend(batch, shape.format, kAttentionRows);
    const std::vector<double> expected = batch.reference();
    ASSERT_EQ(expected.size(), batch.out().size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(batch.out()[i], expected[i], 5e-6 * (1 + std::abs(expected[i]))) << "at " << i;
    }
  }
};

TEST_P(Attention, SingleToken) { check({{1}, {1}}); }

TEST_P(Attention, Prefill) { check({{70}, {70}}); }

TEST_P(Attention, DecodeOverAllPageFillings) {
  for (int64_t length = 1; length <= 34; ++length) check({{1}, {length}});
}

TEST_P(Attention, PrefillAndDecodeRideTogether) { check({{1, 40, 1, 7, 1}, {1, 40, 100, 23, 16}}); }

TEST_P(Attention, SequencesWithoutTokensAreSkipped) { check({{1, 0, 2}, {5, 9, 2}}); }

TEST_P(Attention, EveryKvFormatAndOddHeadDims) {
  for (const KvFormatTraits& format : all_kv_formats()) {
    SCOPED_TRACE(format.name);
    for (const auto& [k_dim, v_dim] : {std::pair<int64_t, int64_t>{64, 64},
                                       {1, 1},
                                       {7, 5},
                                       {20, 36},
                                       {192, 128},
                                       {33, 130},
                                       {128, 128},
                                       {256, 256},
                                       {96, 32}}) {
      if (!format.keys.takes(k_dim) || !format.values.takes(v_dim)) continue;
      AttentionCase shape{{9, 1}, {30, 19}};
      shape.format = format.id;
      shape.k_dim = k_dim;
      shape.v_dim = v_dim;
      check(shape);
      shape.latent = k_dim >= v_dim && !format.is_compressed();
      if (shape.latent) check(shape);
    }
  }
}

// Windows, groups of heads and softcap over the pages of a compressed format.
TEST_P(Attention, CompressedPages) {
  for (const std::string_view name : {"k8v8", "k5v4", "k4v3", "k4v2", "k3v3"}) {
    SCOPED_TRACE(name);
    AttentionCase shape{{1, 40, 1, 7, 1}, {1, 40, 100, 23, 16}, 6, 2, 64, 64};
    shape.format = find_kv_format(name)->id;
    check(shape);
    shape.window = 18;
    check(shape);
    shape.softcap = 3;
    check(shape);
  }
}

// The first and the last tokens are read from pages of their own.
TEST_P(Attention, NearPages) {
  for (const auto& [sinks, tail] :
       {std::pair<int64_t, int64_t>{4, 20}, {0, 16}, {20, 1}, {4, 500}, {16, 33}}) {
    for (const double near_begin : {0.0, 0.6, 1.0}) {
      for (const int64_t window : {0, 30}) {
        SCOPED_TRACE(testing::Message() << sinks << " and " << tail << " tokens, from "
                                        << near_begin << ", window " << window);
        AttentionCase shape{{1, 40, 1, 7, 3}, {1, 40, 100, 63, 16}, 6, 2, 64, 128};
        shape.format = find_kv_format("k4v3")->id;
        shape.sinks = sinks;
        shape.tail = tail;
        shape.near_begin = near_begin;
        shape.window = window;
        check(shape);
      }
    }
  }
}

// A bias of the keys that the cache does not hold.
TEST_P(Attention, KeyBias) {
  for (const std::string_view name : {"k4v3"}) {
    for (const int64_t pairs : {32, 5}) {
      for (const bool interleaved : {false, true}) {
        SCOPED_TRACE(testing::Message() << name << ", " << pairs << " pairs, " << interleaved);
        AttentionCase shape{{1, 40, 1, 7}, {1, 40, 100, 63}, 6, 2, 64, 64};
        shape.format = find_kv_format(name)->id;
        shape.bias_pairs = pairs;
        shape.interleaved = interleaved;
        check(shape);
        shape.sinks = 4;
        shape.tail = 20;
        shape.softcap = 30;
        check(shape);
      }
    }
  }
}

// A score of its own for each head, which weighs and has no value.
TEST_P(Attention, SinkScores) {
  for (const std::string_view name : {"f32", "f16", "k4v3"}) {
    for (const int64_t window : {0, 18}) {
      SCOPED_TRACE(testing::Message() << name << ", window " << window);
      AttentionCase shape{{1, 40, 1, 7}, {1, 40, 100, 63}, 6, 2, 64, 64};
      shape.format = find_kv_format(name)->id;
      shape.sink_scores = true;
      shape.window = window;
      check(shape);
      shape.sinks = name == "k4v3" ? 4 : 0;
      shape.tail = name == "k4v3" ? 20 : 0;
      check(shape);
    }
  }
}

// Where all that a query sees is near, it computes what it does without compression.
TEST_P(Attention, AllNearIsPlainF16) {
  AttentionCase shape{{1, 40, 1}, {1, 40, 100}, 6, 2, 64, 128, fixtures::kKvF16};
  PagedBatch plain(shape);
  store(plain, shape.format);
  attend(plain, shape.format, kAttentionRows);
  shape.format = find_kv_format("k4v2")->id;
  shape.sinks = 4;
  shape.tail = 100;
  PagedBatch near(shape);
  store(near, shape.format);
  attend(near, shape.format, kAttentionRows);
  if (kernels().name == "generic") {
    EXPECT_EQ(near.out(), plain.out());
  }
  for (size_t i = 0; i < plain.out().size(); ++i) {
    ASSERT_NEAR(near.out()[i], plain.out()[i], 5e-6 * (1 + std::abs(plain.out()[i])));
  }
}

TEST_P(Attention, LongestHead) {
  AttentionCase shape{{17}, {17}, 2, 1, kMaxHeadDim, kMaxHeadDim, fixtures::kKvF16};
  check(shape);
}

TEST_P(Attention, HeadGroups) {
  for (const auto& [heads, kv_heads] :
       {std::pair<int64_t, int64_t>{1, 1}, {9, 3}, {4, 1}, {8, 8}, {40, 1}}) {
    AttentionCase shape{{5, 1}, {20, 33}};
    shape.n_heads = heads;
    shape.n_kv_heads = kv_heads;
    check(shape);
  }
}

TEST_P(Attention, Windows) {
  for (const int64_t window : {1, 2, 15, 16, 17, 31, 32, 48, 1000}) {
    AttentionCase shape{{50, 1, 3}, {80, 65, 3}};
    shape.window = window;
    check(shape);
  }
}

TEST_P(Attention, Softcap) {
  AttentionCase shape{{20, 1}, {40, 35}};
  shape.softcap = 3;
  check(shape);
  shape.window = 18;
  check(shape);
}

// A token's result is the same bits however rows are cut into tiles.
TEST_P(Attention, TilesDoNotChangeBits) {
  AttentionCase windowed{{37, 1}, {90, 77}, 6, 2, 24, 20, fixtures::kKvF16};
  windowed.window = 40;
  AttentionCase near{{37, 1}, {90, 77}, 6, 2, 64, 32, find_kv_format("k4v3")->id};
  near.sinks = 4;
  near.tail = 20;
  for (const AttentionCase& shape : {windowed, near}) {
    PagedBatch batch(shape);
    store(batch, shape.format);
    attend(batch, shape.format, kAttentionRows);
    const std::vector<float> expected = batch.out();
    for (const int64_t rows : {1, 2, 5, 31}) {
      std::fill(batch.out().begin(), batch.out().end(), -1.0f);
      attend(batch, shape.format, rows);
      EXPECT_EQ(std::memcmp(batch.out().data(), expected.data(), expected.size() * sizeof(float)),
                0)
          << rows << " rows a tile, tail " << shape.tail;
    }
  }
}

// Decoding a token alone gives the bits that it had as the last token of a prefill.
TEST_P(Attention, DecodeRepeatsPrefillBits) {
  AttentionCase shape{{45}, {45}, 4, 2, 24, 20, fixtures::kKvBf16};
  PagedBatch batch(shape);
  store(batch, shape.format);
  attend(batch, shape.format, kAttentionRows);
  const std::vector<float> all = batch.out();
  const size_t width = 4 * 20;
  for (int32_t t = 0; t < 45; ++t) {
    AttentionArgs args = batch.attention_args();
    const int32_t q_begin[] = {0, 1};
    const int32_t kv_len = t + 1;
    args.batch.q_begin = q_begin;
    args.batch.kv_len = &kv_len;
    args.q += t * 4 * 24;
    std::vector<float> out(width);
    args.out = out.data();
    const auto scratch = std::make_unique<AttentionScratch>();
    for (int64_t head = 0; head < 2; ++head) {
      kernels().attention[static_cast<size_t>(shape.format)](args, {0, head, 0, 2}, *scratch);
    }
    EXPECT_EQ(std::memcmp(out.data(), &all[static_cast<size_t>(t) * width], width * sizeof(float)),
              0)
        << "token " << t;
  }
}

TEST_P(Attention, LargeScoresDoNotOverflow) {
  AttentionCase shape{{3}, {20}};
  PagedBatch batch(shape);
  store(batch, shape.format);
  AttentionArgs args = batch.attention_args();
  args.scale = 1e4f;  // exp of any score would overflow; the weights become one-hot
  const auto scratch = std::make_unique<AttentionScratch>();
  kernels().attention[0](args, {0, 0, 0, 6}, *scratch);
  for (int64_t row = 0; row < 3; ++row) {
    for (int64_t i = 0; i < 32; ++i) {  // the heads of kv head 0
      EXPECT_TRUE(std::isfinite(batch.out()[static_cast<size_t>(row * 64 + i)]));
    }
  }
}

TEST_P(Attention, StoreWritesItsSlotsAndNothingElse) {
  std::vector<uint16_t> k(4 * 2 * 16 * 3, 0xffff);
  std::vector<uint16_t> v(4 * 2 * 16 * 5, 0xffff);
  const KvLayerView view{fixtures::kKvBf16, 4, 2, 3, 5, k.data(), v.data()};
  const std::vector<int64_t> slots = {63, 0, 17};
  std::vector<float> new_k(3 * 2 * 3);
  std::vector<float> new_v(3 * 2 * 5);
  for (size_t i = 0; i < new_k.size(); ++i) new_k[i] = static_cast<float>(i + 1);
  for (size_t i = 0; i < new_v.size(); ++i) new_v[i] = static_cast<float>(i + 100);
  kernels().kv_store[static_cast<size_t>(fixtures::kKvBf16)](
      {view, slots.data(), 3, new_k.data(), new_v.data()}, 0, 3);
  std::vector<uint16_t> expected_k(k.size(), 0xffff);
  std::vector<uint16_t> expected_v(v.size(), 0xffff);
  for (size_t t = 0; t < 3; ++t) {
    const auto block = static_cast<size_t>(slots[t] / 16);
    const auto offset = static_cast<size_t>(slots[t] % 16);
    for (size_t head = 0; head < 2; ++head) {
      const size_t row = (block * 2 + head) * 16 + offset;
      for (size_t i = 0; i < 3; ++i) {
        expected_k[row * 3 + i] = f32_to_bf16(new_k[(t * 2 + head) * 3 + i]);
      }
      for (size_t i = 0; i < 5; ++i) {
        expected_v[row * 5 + i] = f32_to_bf16(new_v[(t * 2 + head) * 5 + i]);
      }
    }
  }
  EXPECT_EQ(k, expected_k);
  EXPECT_EQ(v, expected_v);
}

INSTANTIATE_TEST_SUITE_P(All, Attention, ::testing::ValuesIn(fixtures::all_isas()),
                         fixtures::isa_name);

}  // namespace
}  // namespace tq
