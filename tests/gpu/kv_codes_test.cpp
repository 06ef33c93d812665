// Caches of codes on the GPU: what is stored against the bytes that the CPU writes, and attention
// against its definition in double, for every format, over head sizes, groups of heads, windows,
// near pages, biases of keys and the kernels that share the work.
#include "format/hadamard.h"
#include "gpu_testing.h"
#include "kernels/cuda/kv_formats.h"
#include "support/kv_formats.h"
#include "support/paged_attention.h"

namespace tq {
namespace {

using fixtures::AttentionCase;
using fixtures::OnDevice;
using fixtures::PagedBatch;

std::vector<KvFormatTraits> coded_formats() {
  std::vector<KvFormatTraits> out;
  for (const KvFormatTraits& format : all_kv_formats()) {
    if (format.is_compressed()) out.push_back(format);
  }
  return out;
}

// The planes of a cache on the GPU, full of NaN.
struct CodedCache {
  OnDevice<uint8_t> k, v;
  OnDevice<uint16_t> k_gains, v_gains, near_k, near_v;
  KvLayerView near;
  KvLayerView view;

  CodedCache(const KvLayerView& like, bool has_near)
      : CodedCache(like, kv_format_traits(like.format),
                   like.n_blocks * like.n_kv_heads * kKvBlockTokens, has_near) {}

 private:
  CodedCache(const KvLayerView& like, const KvFormatTraits& format, int64_t n, bool has_near)
      : k(OnDevice<uint8_t>::poisoned(n * format.keys.code_bytes(like.k_dim))),
        v(OnDevice<uint8_t>::poisoned(n * format.values.code_bytes(like.v_dim))),
        k_gains(OnDevice<uint16_t>::poisoned(n * format.keys.n_gains(like.k_dim))),
        v_gains(OnDevice<uint16_t>::poisoned(n * format.values.n_gains(like.v_dim))),
        near_k(OnDevice<uint16_t>::poisoned(has_near ? n * like.k_dim : 0)),
        near_v(OnDevice<uint16_t>::poisoned(has_near ? n * like.v_dim : 0)),
        near(like),
        view(like) {
    near.format = fixtures::kKvF16;
    near.k = near_k.get();
    near.v = near_v.get();
    view.k = k.get();
    view.v = v.get();
    view.k_gains = k_gains.get();
    view.v_gains = v_gains.get();
    view.near = has_near ? &near : nullptr;
  }
};

class KvCodes : public ::testing::TestWithParam<KvFormatTraits> {};
INSTANTIATE_TEST_SUITE_P(EveryFormat, KvCodes, ::testing::ValuesIn(coded_formats()),
                         [](const auto& test) { return std::string(test.param.name); });

// Vectors of all kinds: of any size, zeros, ties, subnormal numbers, and what has no codes.
std::vector<float> odd_vectors(int64_t n, int64_t dim) {
  std::vector<float> x = fixtures::random_floats(n * dim, 11);
  for (int64_t i = 0; i < n; ++i) {
    float* row = x.data() + i * dim;
    const float size = std::ldexp(1.0f, static_cast<int>(i * 7 % 40) - 20);
    for (int64_t d = 0; d < dim; ++d) row[d] *= size;
    if (i % 11 == 3) std::fill_n(row, dim, 0.0f);
    if (i % 11 == 4) std::fill_n(row, dim, 1.0f);
    if (i % 11 == 5) row[dim - 1] = NAN;
    if (i % 11 == 6) row[0] = -INFINITY;
    if (i % 11 == 7) std::fill_n(row, dim, 3e38f);
    if (i % 11 == 8) std::fill_n(row, dim, 1e-41f);
  }
  return x;
}

TEST_P(KvCodes, StoresTheBytesOfTheCpu) {
  const KvFormatTraits& format = GetParam();
  for (const int64_t dim : {32, 64, 96, 128, 160, 192, 256, 320, 512}) {
    SCOPED_TRACE(fmt::format("heads of {}", dim));
    constexpr int64_t kTokens = 37, kHeads = 3, kBlocks = 5;
    const std::vector<float> k = odd_vectors(kTokens * kHeads, dim);
    std::vector<float> v(k.rbegin(), k.rend());
    std::vector<int64_t> slots, near_slots;
    for (int64_t t = 0; t < kTokens; ++t) {
      slots.push_back(t * 29 % (kBlocks * kKvBlockTokens));
      near_slots.push_back(t * 31 % (kBlocks * kKvBlockTokens));
    }
    KvLayerView like{format.id, kBlocks, kHeads, dim, dim};
    const CodedCache cache(like, true);
    const OnDevice<float> keys(k), values(v);
    const OnDevice<int64_t> at(slots), near_at(near_slots);
    cuda::kv_store({cache.view, at.get(), kTokens, keys.get(), values.get(), near_at.get()},
                   nullptr);
    const auto check = [&](const KvVectorTraits& vectors, const std::vector<float>& x,
                           const std::vector<uint8_t>& codes, const std::vector<uint16_t>& gains,
                           const std::vector<uint16_t>& near) {
      const int64_t code_bytes = vectors.code_bytes(dim), n_gains = vectors.n_gains(dim);
      const int group = kv_group(dim);
      std::vector<uint8_t> expected_codes(codes.size(), 0xff);
      std::vector<uint16_t> expected_gains(gains.size(), 0xffff);
      for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t h = 0; h < kHeads; ++h) {
          const auto vector_at = [&](int64_t slot) {
            return (slot / kKvBlockTokens * kHeads + h) * kKvBlockTokens + slot % kKvBlockTokens;
          };
          const int64_t vector = vector_at(slots[static_cast<size_t>(t)]);
          const float* row = x.data() + (t * kHeads + h) * dim;
          vectors.store(row, dim, expected_codes.data() + vector * code_bytes,
                        expected_gains.data() + vector * n_gains);
          // Near pages hold the same basis, as f16.
          std::vector<float> rotated(row, row + dim);
          for (int64_t d = 0; d < dim; d += group) rotate_group(rotated.data() + d, group);
          const uint16_t* stored =
              near.data() + vector_at(near_slots[static_cast<size_t>(t)]) * dim;
          for (int64_t d = 0; d < dim; ++d) {
            const float wanted = rotated[static_cast<size_t>(d)];
            if (std::isnan(wanted)) {
              ASSERT_TRUE(std::isnan(f16_to_f32(stored[d]))) << t << " " << d;
            } else {
              ASSERT_EQ(stored[d], f32_to_f16(wanted)) << t << " " << d;
            }
          }
        }
      }
      EXPECT_EQ(codes, expected_codes);
      EXPECT_EQ(gains, expected_gains);
    };
    check(format.keys, k, cache.k.read(), cache.k_gains.read(), cache.near_k.read());
    check(format.values, v, cache.v.read(), cache.v_gains.read(), cache.near_v.read());
  }
}

// How a case is computed: as AttentionOptions says.
struct Way {
  const char* name;
  int64_t decode_up_to;
  bool fast_prompts;
  double tolerance;
};
constexpr Way kInvariant{"batch-invariant", 0, false, 2e-5};
// Where centroids are not integers they are rounded to f16: an output by 2^-12 of the values'
// sizes, of up to 7, at most.
constexpr Way kDecode{"decode", cuda::kMostDecodeSeqs, false, 2e-3};
constexpr Way kIntegers{"decode, integers", cuda::kMostDecodeSeqs, false, 3e-4};
// Queries and weights are rounded, too, and so are the numbers of the cache with their gains: a
// score, of up to 10, by 2^-12 of itself, and its weight by as much.
constexpr Way kPrompts{"fast prompts", 0, true, 1.2e-2};

// Stores all keys and values on the GPU, attends and returns [tokens, n_heads, v_dim].
std::vector<float> attend(PagedBatch& batch, const AttentionCase& c, const Way& way) {
  AttentionArgs args = batch.attention_args();
  const CodedCache cache(args.kv, c.tail > 0);
  args.kv = cache.view;
  for (int64_t s = 0; s < batch.n_seqs(); ++s) {
    KvStoreArgs store = batch.store_args(s);
    const OnDevice<int64_t> slots({store.slots, store.slots + store.tokens});
    const OnDevice<int64_t> near_slots({store.near_slots, store.near_slots + store.tokens});
    const int64_t n = store.tokens * c.n_kv_heads;
    const OnDevice<float> keys({store.k, store.k + n * c.k_dim});
    const OnDevice<float> values({store.v, store.v + n * c.v_dim});
    cuda::kv_store({args.kv, slots.get(), store.tokens, keys.get(), values.get(), near_slots.get()},
                   nullptr);
    fixtures::cuda_check(cudaDeviceSynchronize());
  }
  const auto on_gpu = [](const auto* data, int64_t n) {
    return OnDevice(std::vector(data, data + n));
  };
  const int64_t n_seqs = batch.n_seqs(), tokens = batch.n_tokens();
  const int64_t n_tables = n_seqs * args.batch.max_blocks;
  const auto q_begin = on_gpu(args.batch.q_begin, n_seqs + 1);
  const auto kv_len = on_gpu(args.batch.kv_len, n_seqs);
  const auto tables = on_gpu(args.batch.block_tables, n_tables);
  const auto q = on_gpu(args.q, tokens * c.n_heads * c.k_dim);
  const auto near_tables = on_gpu(args.batch.near_tables, c.tail > 0 ? n_tables : 0);
  const auto near_begin = on_gpu(args.batch.near_begin, c.tail > 0 ? n_seqs : 0);
  const KeyBias bias = args.key_bias;
  const auto biases = on_gpu(bias.bias, c.bias_pairs > 0 ? c.n_kv_heads * c.k_dim : 0);
  const auto angles = on_gpu(
      bias.angles, c.bias_pairs > 0 ? args.batch.max_blocks * kKvBlockTokens * bias.stride : 0);
  if (c.bias_pairs > 0) args.key_bias.bias = biases.get(), args.key_bias.angles = angles.get();
  const auto out = OnDevice<float>::poisoned(tokens * c.n_heads * c.v_dim);
  args.batch = {n_seqs,
                q_begin.get(),
                kv_len.get(),
                tables.get(),
                args.batch.max_blocks,
                tokens,
                *std::max_element(c.kv_len.begin(), c.kv_len.end()),
                near_tables.get(),
                near_begin.get()};
  args.q = q.get();
  args.out = out.get();
  AttentionArgs bounds = args;
  bounds.kv = {c.format, 0, c.n_kv_heads, c.k_dim, c.v_dim};  // all that a plan knows
  const auto workspace =
      OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::attention_bytes(bounds)));
  args.workspace = workspace.get();
  const cuda::AttentionOptions options{nullptr, way.decode_up_to, way.fast_prompts};
  cuda::attention(args, options, nullptr);
  const std::vector<float> result = out.read();
  // The same on its way to the next product, whose input rotates as the cache does, or otherwise.
  const int64_t width = c.n_heads * c.v_dim;
  for (const int group : {32, 64, 128}) {
    if (width % group != 0) continue;
    const OnDevice<float> plain(result);
    const auto alone = OnDevice<uint8_t>::poisoned(tokens * width * 2);
    const auto fused = OnDevice<uint8_t>::poisoned(tokens * width * 2);
    PrepareArgs next{plain.get(), tokens, width, width, group, InputForm::kRotated, alone.get()};
    const Activation expected = cuda::prepare(next, false, nullptr);
    next.x = out.get();
    next.storage = fused.get();
    const Activation actual = cuda::attention_prepared(args, options, next, false, nullptr);
    const auto values = [&](const Activation& x) {
      fixtures::cuda_check(cudaDeviceSynchronize());
      std::vector<int8_t> q8(static_cast<size_t>(tokens * width));
      std::vector<float> scales(q8.size() / static_cast<size_t>(group));
      fixtures::cuda_check(cudaMemcpy(q8.data(), x.q8, q8.size(), cudaMemcpyDeviceToHost));
      fixtures::cuda_check(cudaMemcpy(scales.data(), x.q8_scale, scales.size() * sizeof(float),
                                      cudaMemcpyDeviceToHost));
      std::vector<float> floats(q8.size());
      for (size_t i = 0; i < q8.size(); ++i) {
        floats[i] = scales[i / static_cast<size_t>(group)] * q8[i];
      }
      return floats;
    };
    // A rounding may turn out the other way.
    EXPECT_LT(fixtures::relative_error(values(actual), values(expected)), 2e-3) << group;
  }
  return result;
}

void expect_attends(AttentionCase c, KvFormatId format,
                    std::vector<Way> ways = {kInvariant, kDecode, kPrompts}) {
  c.format = format;
  if (kv_format_traits(format).name == "k8v8") ways[1] = kIntegers;
  c.near_rotated = true;
  PagedBatch batch(c);
  const std::vector<double> expected = batch.reference();
  for (const Way& way : ways) {
    SCOPED_TRACE(fmt::format("{}: {} of {} heads of {} and {}, {} keys, window {}, tail {}",
                             way.name, c.n_kv_heads, c.n_heads, c.k_dim, c.v_dim, c.kv_len[0],
                             c.window, c.tail));
    const std::vector<float> out = attend(batch, c, way);
    ASSERT_EQ(out.size(), expected.size());
    double worst = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_TRUE(std::isfinite(out[i])) << i;
      worst = std::max(worst, std::abs(out[i] - expected[i]));
    }
    EXPECT_LT(worst, way.tolerance);
    EXPECT_TRUE(fixtures::same_bits(attend(batch, c, way), out));
  }
}

AttentionCase with_near(AttentionCase c, int64_t sinks, int64_t tail, double begin = 0) {
  c.sinks = sinks;
  c.tail = tail;
  c.near_begin = begin;
  return c;
}

TEST_P(KvCodes, AttentionMatchesTheDefinition) {
  const KvFormatId format = GetParam().id;
  for (const int64_t dim : {64, 128, 256, 512, 32, 96, 320}) {
    AttentionCase c{{1, 40, 1, 7, 3}, {1, 40, 100, 363, 16}, 6, 2, dim, dim};
    expect_attends(c, format);
    expect_attends(with_near(c, 4, 20), format);
  }
  expect_attends({{1, 1, 1}, {5, 300, 17}, 8, 2, 64, 64}, format);
  expect_attends(with_near({{1, 1, 1}, {2500, 1, 700}, 32, 4, 128, 128}, 4, 128), format);
  expect_attends(with_near({{1, 1}, {1300, 40}, 40, 2, 128, 128}, 4, 128), format);
  expect_attends({{130}, {300}, 20, 1, 128, 128}, format);
  for (const int64_t dim : {64, 128, 256, 512}) {
    expect_attends(with_near({{1, 1, 1}, {3000, 130, 1029}, 16, 1, dim, dim}, 4, 128), format);
  }
  AttentionCase many{{}, {}, 16, 8, 128, 128};
  for (int64_t s = 0; s < 40; ++s) {
    many.n_queries.push_back(1);
    many.kv_len.push_back(1 + s * 37 % 1100);
  }
  expect_attends(with_near(many, 4, 128), format);
}

// Every length of a page, and what is near from nothing to all, in steps of one token and prompts.
TEST_P(KvCodes, NearPages) {
  if (GetParam().name != "k4v3" && GetParam().name != "k8v8") return;
  for (const auto& [sinks, tail] :
       {std::pair<int64_t, int64_t>{4, 20}, {0, 16}, {20, 1}, {4, 500}, {16, 33}, {3, 128}}) {
    for (const double begin : {0.0, 0.6, 1.0}) {
      for (const int64_t window : {0, 30, 200}) {
        AttentionCase c{{1, 40, 1, 7, 3}, {1, 40, 100, 463, 16}, 6, 2, 64, 64};
        c.window = window;
        expect_attends(with_near(c, sinks, tail, begin), GetParam().id);
        AttentionCase steps{{1, 1, 1, 1}, {900, 129, 33, 5}, 16, 2, 128, 128};
        steps.window = window;
        expect_attends(with_near(steps, sinks, tail, begin), GetParam().id);
      }
    }
  }
  for (int64_t length = 1; length <= 34; ++length) {
    expect_attends(with_near({{1}, {length}, 4, 2, 128, 128}, 2, 5), GetParam().id);
  }
}

TEST_P(KvCodes, BiasesOfKeysAndCaps) {
  for (const int64_t pairs : {32, 5}) {
    for (const bool interleaved : {false, true}) {
      AttentionCase c{{1, 40, 1, 7}, {1, 40, 100, 363}, 6, 2, 64, 64};
      c.bias_pairs = pairs;
      c.interleaved = interleaved;
      expect_attends(c, GetParam().id);
      c.softcap = 30;
      expect_attends(with_near(c, 4, 20), GetParam().id);
      AttentionCase steps{{1, 1}, {700, 90}, 14, 2, 128, 128};
      steps.bias_pairs = 2 * pairs;
      steps.interleaved = interleaved;
      expect_attends(with_near(steps, 4, 20), GetParam().id);
    }
  }
  AttentionCase capped{{200, 33}, {200, 400}, 16, 8, 256, 256};
  capped.window = 64;
  capped.softcap = 30;
  expect_attends(with_near(capped, 4, 20), GetParam().id);
}

}  // namespace
}  // namespace tq
