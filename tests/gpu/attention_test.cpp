// Paged attention on the GPU against its definition in double, over head sizes, windows, caps,
// shared values and the ways the work is split; and that a row's bits depend on none of them.
#include "gpu_testing.h"
#include "support/kv_formats.h"
#include "support/paged_attention.h"

namespace tq {
namespace {

using fixtures::AttentionCase;
using fixtures::OnDevice;
using fixtures::PagedBatch;

std::vector<int32_t> values_of(const int32_t* data, int64_t n) { return {data, data + n}; }

struct How {
  int64_t last = 0;          // queries of the only sequence; 0: all
  bool split = true;         // blocks may share a row's keys
  int64_t decode_up_to = 0;  // as in AttentionOptions
  bool fast_prompts = false;
};
constexpr How kFast{.split = false, .fast_prompts = true};

// Stores all keys and values on the GPU, attends and returns [tokens, n_heads, v_dim].
std::vector<float> attend(PagedBatch& batch, const AttentionCase& c, const How& how = {}) {
  AttentionArgs args = batch.attention_args();
  const int64_t tokens = how.last > 0 ? how.last : batch.n_tokens();
  const KvFormatTraits& format = kv_format_traits(c.format);
  const int64_t vectors = args.kv.n_blocks * c.n_kv_heads * kKvBlockTokens;
  const auto k = OnDevice<uint8_t>::poisoned(vectors * format.keys.code_bytes(c.k_dim));
  const auto v = OnDevice<uint8_t>::poisoned(vectors * format.values.code_bytes(c.v_dim));
  args.kv.k = k.get();
  args.kv.v = c.latent ? nullptr : v.get();
  for (int64_t s = 0; s < batch.n_seqs(); ++s) {
    KvStoreArgs store = batch.store_args(s);
    const OnDevice<int64_t> slots(std::vector<int64_t>(store.slots, store.slots + store.tokens));
    const int64_t n = store.tokens * c.n_kv_heads;
    const OnDevice<float> keys(std::vector<float>(store.k, store.k + n * c.k_dim));
    const OnDevice<float> values(std::vector<float>(store.v, store.v + n * c.v_dim));
    store.kv = args.kv;
    store.slots = slots.get();
    store.k = keys.get();
    store.v = values.get();
    cuda::kv_store(store, nullptr);
    fixtures::cuda_check(cudaDeviceSynchronize());
  }
  const int64_t n_seqs = batch.n_seqs();
  const OnDevice<int32_t> q_begin(how.last > 0
                                      ? std::vector<int32_t>{0, static_cast<int32_t>(how.last)}
                                      : values_of(args.batch.q_begin, n_seqs + 1));
  const OnDevice<int32_t> kv_len(values_of(args.batch.kv_len, n_seqs));
  const OnDevice<int32_t> tables(
      values_of(args.batch.block_tables, n_seqs * args.batch.max_blocks));
  const int64_t skipped = (batch.n_tokens() - tokens) * c.n_heads * c.k_dim;
  const float* first_query = args.q + skipped;
  const OnDevice<float> q(
      std::vector<float>(first_query, first_query + tokens * c.n_heads * c.k_dim));
  const auto out = OnDevice<float>::poisoned(tokens * c.n_heads * c.v_dim);
  args.batch = {.n_seqs = n_seqs,
                .q_begin = q_begin.get(),
                .kv_len = kv_len.get(),
                .block_tables = tables.get(),
                .max_blocks = args.batch.max_blocks,
                .tokens = tokens,
                .max_kv_len = *std::max_element(c.kv_len.begin(), c.kv_len.end())};
  args.q = q.get();
  args.out = out.get();
  const auto workspace =
      OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::attention_bytes(args)));
  args.workspace = workspace.get();
  const OnDevice<uint32_t> counters(
      std::vector<uint32_t>(static_cast<size_t>(cuda::attention_counters())));
  const cuda::AttentionOptions options{how.split ? counters.get() : nullptr, how.decode_up_to,
                                       how.fast_prompts};
  cuda::attention(args, options, nullptr);
  const int64_t width = c.n_heads * c.v_dim;
  if (width % 128 == 0) {
    const auto alone = OnDevice<uint8_t>::poisoned(tokens * width * 2);
    const auto fused = OnDevice<uint8_t>::poisoned(tokens * width * 2);
    PrepareArgs next{out.get(), tokens, width, width, 128, InputForm::kRotated, alone.get()};
    cuda::prepare(next, false, nullptr);
    next.storage = fused.get();
    cuda::attention_prepared(args, options, next, false, nullptr);
    EXPECT_EQ(fused.read(), alone.read());
  }
  const std::vector<uint32_t> left = counters.read();
  EXPECT_EQ(*std::max_element(left.begin(), left.end()), 0u);
  return out.read();
}

void expect_close(const std::vector<float>& out, const std::vector<double>& expected,
                  double tolerance = 2e-5) {
  ASSERT_EQ(out.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_TRUE(std::isfinite(out[i])) << i;
    worst = std::max(worst, std::abs(out[i] - expected[i]));
  }
  EXPECT_LT(worst, tolerance);
}

TEST(GpuAttention, MatchesTheDefinition) {
  const std::vector<AttentionCase> cases = {
      {{1}, {1}},
      {{1, 1, 1}, {5, 300, 17}, 8, 2, 64, 64, fixtures::kKvF16},
      {{1}, {1000}, 16, 2, 512, 512, fixtures::kKvF16},
      {{1, 1}, {700, 40}, 16, 8, 256, 256, fixtures::kKvF16, 100},
      {{40, 1, 7}, {40, 290, 150}, 4, 2, 128, 128, fixtures::kKvBf16},
      {{130}, {300}, 20, 1, 576, 512, fixtures::kKvF16},
      {{1, 1}, {700, 64}, 20, 1, 576, 512, fixtures::kKvF16},
      {{65}, {65}, 8, 4, 64, 40, fixtures::kKvF16, 0, 20.0f},
      {{150, 1}, {600, 65}, 8, 2, 512, 512, fixtures::kKvBf16},
      {{100, 3}, {230, 3}, 32, 4, 128, 128, fixtures::kKvF16},
      {{1}, {3000}, 2, 1, 80, 80, fixtures::kKvF16, 1000},
      {{200, 33}, {200, 400}, 16, 8, 256, 256, fixtures::kKvF16, 64, 30.0f},
      {{3}, {9}, 6, 3, 20, 12, fixtures::kKvF32, 4},
      {{5}, {5}, 2, 1, 7, 5, fixtures::kKvF16},
      {{600}, {600}, 4, 4, 64, 64, fixtures::kKvF32}};
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(fmt::format("{} heads of {}, {} keys", c.n_heads, c.k_dim, c.kv_len[0]));
    PagedBatch batch(c);
    // Queries and weights meet bf16 caches as sums of two bf16 numbers, 16 bits.
    expect_close(attend(batch, c), batch.reference(), c.format == fixtures::kKvBf16 ? 4e-5 : 2e-5);
  }
}

// Steps of one query a sequence, over group sizes, head sizes, lengths around those of chunks and
// clusters, windows and caps, latent caches, and more sequences than fill the GPU.
TEST(GpuAttention, DecodeStepsMatchTheDefinition) {
  std::vector<AttentionCase> cases = {
      {{1, 1, 1}, {5, 300, 17}, 8, 2, 64, 64, fixtures::kKvF16},
      {{1}, {1000}, 16, 2, 512, 512, fixtures::kKvF16},
      {{1, 1}, {700, 40}, 16, 8, 256, 256, fixtures::kKvF16, 100},
      {{1, 1, 1}, {64, 65, 63}, 8, 1, 128, 128, fixtures::kKvBf16},
      {{1, 1}, {700, 64}, 20, 1, 576, 512, fixtures::kKvF16},
      {{1, 1}, {4096, 2}, 6, 2, 96, 96, fixtures::kKvF16},
      {{1}, {3000}, 2, 1, 80, 80, fixtures::kKvF16, 1000, 30.0f},
      {{1, 1}, {257, 256}, 3, 3, 256, 256, fixtures::kKvBf16, 0, 20.0f},
      {{1}, {9000}, 4, 2, 128, 128, fixtures::kKvF16},
      {{1, 1}, {90, 700}, 5, 1, 40, 40, fixtures::kKvF16},
      {{1, 1, 1}, {1024, 1025, 1040}, 16, 1, 128, 128, fixtures::kKvF16},
      {{1, 1}, {5000, 33}, 12, 2, 128, 128, fixtures::kKvBf16, 0, 20.0f},
      {{1, 1}, {2111, 2112}, 40, 2, 64, 64, fixtures::kKvF16},
      {{1, 1, 1}, {4000, 1, 999}, 14, 2, 256, 256, fixtures::kKvF16, 1000},
      {{1}, {1500}, 24, 2, 256, 256, fixtures::kKvF16},
      {{1, 1}, {3333, 640}, 20, 2, 512, 512, fixtures::kKvF16, 640},
      {{1}, {1300}, 8, 2, 320, 320, fixtures::kKvBf16},
      {{1, 1, 1}, {700, 2049, 15}, 20, 1, 576, 512, fixtures::kKvF16},
      {{1, 1}, {64, 1700}, 8, 1, 576, 512, fixtures::kKvBf16, 0, 15.0f},
      {{1}, {12000}, 50, 1, 576, 512, fixtures::kKvF16},
      {{1, 1}, {600, 1600}, 5, 1, 80, 64, fixtures::kKvF16, 900}};
  for (size_t i = cases.size() - 4; i < cases.size(); ++i) cases[i].latent = true;
  for (const auto& [n, longest, v_dim] :
       std::vector<std::array<int64_t, 3>>{{12, 300, 128}, {40, 300, 128}, {40, 1100, 128}}) {
    AttentionCase many{{}, {}, 16, 8, 128, v_dim, fixtures::kKvF16};
    for (int64_t s = 0; s < n; ++s) {
      many.n_queries.push_back(1);
      many.kv_len.push_back(1 + s * 37 % longest);
    }
    cases.push_back(many);
  }
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(fmt::format("{} heads of {}, {} keys", c.n_heads, c.k_dim, c.kv_len[0]));
    PagedBatch batch(c);
    const How decode{.decode_up_to = 64};
    const std::vector<float> out = attend(batch, c, decode);
    expect_close(out, batch.reference(), c.format == fixtures::kKvBf16 ? 4e-5 : 2e-5);
    EXPECT_TRUE(fixtures::same_bits(attend(batch, c, decode), out));
  }
}

// Prompts over f16 caches: all head sizes and what does not fill them, groups of heads, windows,
// caps, latent caches, prompts that continue a sequence and share its keys among blocks, decode
// steps among them.
TEST(GpuAttention, PromptsMatchTheDefinition) {
  std::vector<AttentionCase> cases = {
      {{2}, {2}, 2, 2, 64, 64},
      {{65}, {65}, 8, 4, 64, 40, fixtures::kKvF16, 0, 20.0f},
      {{130, 1, 64}, {300, 700, 64}, 8, 2, 64, 64},
      {{100, 3}, {230, 3}, 32, 4, 128, 128},
      {{257}, {257}, 3, 1, 80, 96},
      {{9}, {3000}, 4, 2, 128, 128},
      {{300, 2}, {1000, 2100}, 7, 1, 128, 128, fixtures::kKvF16, 90},
      {{200, 33}, {200, 400}, 16, 8, 256, 256, fixtures::kKvF16, 64, 30.0f},
      {{150}, {1700}, 4, 2, 256, 200, fixtures::kKvF16, 1024},
      {{150, 1}, {600, 65}, 8, 2, 512, 512},
      {{70}, {70}, 2, 1, 320, 264, fixtures::kKvF16, 50},
      {{2, 40}, {70, 1500}, 2, 1, 512, 512},
      {{64, 128, 1, 63}, {64, 128, 1, 127}, 4, 4, 128, 128},
      {{130}, {300}, 20, 1, 576, 512},
      {{20, 1}, {20, 1900}, 5, 1, 520, 512, fixtures::kKvF16, 0, 15.0f}};
  cases[cases.size() - 2].latent = cases[cases.size() - 1].latent = true;
  for (AttentionCase c : cases) {
    SCOPED_TRACE(fmt::format("{} heads of {}, {} keys", c.n_heads, c.k_dim, c.kv_len[0]));
    c.format = fixtures::kKvF16;
    c.f16_queries = true;
    PagedBatch batch(c);
    const std::vector<float> out = attend(batch, c, kFast);
    // A weight is off by 2^-12 of itself: an output by 2^-12 of the values' sizes, of up to 7.
    expect_close(out, batch.reference(), 1.7e-3);
    EXPECT_TRUE(fixtures::same_bits(attend(batch, c, kFast), out));
    // Another kernel, but where heads are too wide for this GPU's shared memory.
    constexpr int kForWideHeads = 200 << 10;
    if (c.k_dim <= 256 || cuda::gpu_target().max_shared_bytes >= kForWideHeads) {
      EXPECT_FALSE(fixtures::same_bits(attend(batch, c, {.split = false}), out));
    }
  }
}

// A prompt's last queries in a step of their own, and as the end of the whole: other tiles, the
// same keys.
TEST(GpuAttention, BitsOfPromptsDoNotDependOnTheTile) {
  for (const auto& [heads, kv_heads, dim] : std::vector<std::array<int64_t, 3>>{
           {36, 18, 128}, {180, 9, 64}, {36, 18, 256}, {36, 9, 512}}) {
    for (const int64_t window : {int64_t{0}, int64_t{333}}) {
      const AttentionCase prompt{{700}, {700}, heads, kv_heads, dim, dim, fixtures::kKvF16, window};
      PagedBatch batch(prompt);
      const std::vector<float> all = attend(batch, prompt, kFast);
      constexpr int64_t kLast = 477;  // more than there are blocks for that would share keys
      const std::vector<float> last(all.end() - kLast * heads * dim, all.end());
      EXPECT_TRUE(fixtures::same_bits(
          attend(batch, prompt, {.last = kLast, .split = false, .fast_prompts = true}), last))
          << heads << " heads of " << dim << ", window " << window;
    }
  }
}

TEST(GpuAttention, ValuesMayBeAPartOfTheKeys) {
  for (const std::vector<int64_t>& queries : std::vector<std::vector<int64_t>>{{1}, {150}}) {
    const int64_t n = 200, heads = 4, k_dim = 96, v_dim = 64;
    const std::vector<float> keys = fixtures::random_floats(n * k_dim, 3);
    const std::vector<float> q = fixtures::random_floats(queries[0] * heads * k_dim, 4);
    std::vector<int64_t> slots(n);
    std::vector<int32_t> table(13);
    for (int64_t i = 0; i < n; ++i) slots[i] = i;
    for (int32_t i = 0; i < 13; ++i) table[i] = i;
    const OnDevice<float> device_keys(keys), device_q(q);
    const OnDevice<int64_t> device_slots(slots);
    const OnDevice<int32_t> device_table(table);
    const OnDevice<int32_t> q_begin(std::vector<int32_t>{0, static_cast<int32_t>(queries[0])});
    const OnDevice<int32_t> kv_len(std::vector<int32_t>{200});
    const auto plane = OnDevice<float>::poisoned(13 * 16 * k_dim);
    const auto out = OnDevice<float>::poisoned(queries[0] * heads * v_dim);
    const KvLayerView kv{fixtures::kKvF32, 13, 1, k_dim, v_dim, plane.get(), nullptr};
    cuda::kv_store({kv, device_slots.get(), n, device_keys.get(), nullptr}, nullptr);
    AttentionArgs args{kv,
                       {1, q_begin.get(), kv_len.get(), device_table.get(), 13, queries[0], n},
                       device_q.get(),
                       heads,
                       0.1f,
                       0,
                       0,
                       out.get()};
    const auto workspace =
        OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::attention_bytes(args)));
    args.workspace = workspace.get();
    cuda::attention(args, {}, nullptr);

    std::vector<double> expected;
    for (int64_t row = 0; row < queries[0] * heads; ++row) {
      const int64_t last = n - queries[0] + row / heads;
      std::vector<double> weights;
      double sum = 0;
      for (int64_t p = 0; p <= last; ++p) {
        double score = 0;
        for (int64_t i = 0; i < k_dim; ++i)
          score += double{q[row * k_dim + i]} * keys[p * k_dim + i];
        weights.push_back(std::exp(0.1 * score));
        sum += weights.back();
      }
      for (int64_t i = 0; i < v_dim; ++i) {
        double value = 0;
        for (int64_t p = 0; p <= last; ++p) value += weights[p] * keys[p * k_dim + i];
        expected.push_back(value / sum);
      }
    }
    expect_close(out.read(), expected);
  }
}

// Sequences' last queries alone, split over their keys or not, and as the last of a long prefill.
TEST(GpuAttention, BitsDoNotDependOnTheSplit) {
  for (const auto& [heads, kv_heads, dim] :
       std::vector<std::array<int64_t, 3>>{{4, 2, 128}, {20, 1, 64}, {4, 2, 256}, {4, 1, 512}}) {
    for (const KvFormatId format : {fixtures::kKvF16, fixtures::kKvBf16, fixtures::kKvF32}) {
      for (const int64_t window : {int64_t{0}, int64_t{333}}) {
        const AttentionCase prefill{{700}, {700}, heads, kv_heads, dim, dim, format, window};
        PagedBatch batch(prefill);
        const std::vector<float> all = attend(batch, prefill);
        EXPECT_TRUE(fixtures::same_bits(attend(batch, prefill, {.split = false}), all));
        const std::vector<float> last(all.end() - heads * dim, all.end());
        for (const bool split : {true, false}) {
          EXPECT_TRUE(
              fixtures::same_bits(attend(batch, prefill, {.last = 1, .split = split}), last))
              << heads << " heads of " << dim << ", window " << window << ", split " << split;
        }
      }
    }
  }
}

}  // namespace
}  // namespace tq
