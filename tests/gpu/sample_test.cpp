// The GPU samples the tokens that the CPU samples, row by row, whatever rows ride together.
#include "kernels/cuda/sample/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "gpu/gpu_testing.h"
#include "kernels/cpu/sample.h"

namespace tq {
namespace {

using fixtures::OnDevice;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// One batch: rows of logits with what they are sampled by.
struct Rows {
  int64_t n = 0;
  int64_t stride = 0;
  std::vector<float> logits;  // NaN between n and stride
  std::vector<SampleRow> how;
  std::vector<TokenValue> lists;
  std::vector<int32_t> excluded;
  std::vector<uint32_t> masks;

  Rows(int64_t n_in, int64_t stride_in) : n(n_in), stride(stride_in) {}

  void add(const std::vector<float>& row, const SampleRow& sampled_by) {
    logits.insert(logits.end(), row.begin(), row.end());
    logits.resize(logits.size() + static_cast<size_t>(stride - n), kNan);
    how.push_back(sampled_by);
  }
  // Gives the last row a mask, in which each token is with this probability.
  void mask_last(std::mt19937_64& random, double share) {
    const auto n_words = static_cast<size_t>(mask_words(n));
    how.back().mask = static_cast<int32_t>(masks.size() / n_words);
    masks.resize(masks.size() + n_words);
    std::bernoulli_distribution in(share);
    for (int64_t i = 0; i < n; ++i) {
      if (in(random)) masks[masks.size() - n_words + static_cast<size_t>(i / 32)] |= 1u << (i % 32);
    }
  }
  int64_t size() const { return static_cast<int64_t>(how.size()); }

  std::vector<int32_t> on_cpu() const {
    std::vector<int32_t> out;
    RowSampler sampler;
    for (int64_t r = 0; r < size(); ++r) {
      const auto begin = logits.begin() + r * stride;
      std::vector<float> row(begin, begin + n);
      for (const int32_t id : excluded) row[static_cast<size_t>(id)] = -kInfinity;
      out.push_back(sampler.sample(row, how[static_cast<size_t>(r)], lists.data(), masks.data()));
    }
    return out;
  }
  std::vector<int32_t> on_gpu() const {
    const OnDevice<float> device_logits(logits);
    const OnDevice<SampleRow> device_rows(how);
    const OnDevice<TokenValue> device_lists(lists);
    const OnDevice<int32_t> device_excluded(excluded);
    const OnDevice<uint32_t> device_masks(masks);
    const auto out = OnDevice<int32_t>::poisoned(size());
    cuda::sample({.logits = device_logits.get(),
                  .n_rows = size(),
                  .stride = stride,
                  .n = n,
                  .rows = device_rows.get(),
                  .lists = device_lists.get(),
                  .out = out.get(),
                  .excluded = device_excluded.get(),
                  .n_excluded = static_cast<int64_t>(excluded.size()),
                  .masks = device_masks.get()},
                 nullptr);
    return out.read();
  }
};

struct Params {
  float temperature = 1;
  int top_k = 0;
  float top_p = 1;
  float min_p = 0;
};

SampleRow make_row(const Params& params, uint64_t random) {
  SampleRow row;
  row.random = random;
  if (params.temperature == 0) return row;
  row.scale = static_cast<float>(std::numbers::log2e / params.temperature);
  row.top_k = params.top_k;
  row.top_p = params.top_p;
  row.most_exponent = most_exponent(params.min_p);
  return row;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  template <typename T>
  T of(std::initializer_list<T> values) {
    return *(values.begin() + below(static_cast<int64_t>(values.size())));
  }

  // Logits of one of several kinds: smooth ones, few distinct ones, hardly different ones, ...
  static constexpr int kKinds = 10;
  std::vector<float> logits(int64_t n, int kind) {
    std::normal_distribution<float> normal;
    std::vector<float> out(static_cast<size_t>(n));
    for (size_t i = 0; i < out.size(); ++i) {
      const float x = normal(engine_);
      switch (kind) {
        case 0:
          out[i] = x;
          break;
        case 1:
          out[i] = 4 * x - 3;
          break;
        case 2:
          out[i] = 40 * x;
          break;
        case 3:  // ties
          out[i] = std::round(2 * x) * 0.5f;
          break;
        case 4:  // all equal
          out[i] = -1.5f;
          break;
        case 5:  // one far above many close ones
          out[i] = i == out.size() / 3 ? 1000.0f : x * 1e-4f;
          break;
        case 6:  // most are out
          out[i] = below(50) == 0 ? x : -kInfinity;
          break;
        case 7:  // neighbouring floats
          out[i] = 1.0f + static_cast<float>(below(5)) * 0x1p-23f;
          break;
        case 8:  // both zeros
          out[i] = below(2) == 0 ? 0.0f : -0.0f;
          break;
        default:  // the whole range
          out[i] = x * 1e38f;
          break;
      }
    }
    return out;
  }

  SampleRow row(int64_t n, std::vector<TokenValue>& lists) {
    SampleRow row = make_row({.temperature = of({0.0f, 0.1f, 0.7f, 1.0f, 1.0f, 2.0f, 1e4f, 1e-4f}),
                              .top_k = of({0, 0, 1, 2, 40, 64, 1000, 5000, static_cast<int>(n - 1),
                                           static_cast<int>(n + 5)}),
                              .top_p = of({1.0f, 1.0f, 0.95f, 0.5f, 0.01f, 0.9999f}),
                              .min_p = of({0.0f, 0.0f, 0.05f, 0.5f})},
                             bits());
    if (below(2) == 0) {
      row.biases_begin = static_cast<int32_t>(lists.size());
      row.n_biases = add_ids(n, below(30), lists);
      for (int32_t i = 0; i < row.n_biases; ++i) {
        lists[static_cast<size_t>(row.biases_begin + i)].value = of({-100.0f, -1.0f, 0.5f, 3.0f});
      }
    }
    if (below(2) == 0) {
      row.repetition_penalty = of({1.0f, 1.1f, 2.0f, 0.7f});
      row.presence_penalty = of({0.0f, 0.5f, -0.25f});
      row.frequency_penalty = of({0.0f, 0.3f, -0.1f});
      row.seen_begin = static_cast<int32_t>(lists.size());
      row.n_seen = add_ids(n, below(3000), lists);
      for (int32_t i = 0; i < row.n_seen; ++i) {
        lists[static_cast<size_t>(row.seen_begin + i)].value = static_cast<float>(below(4));
      }
    }
    return row;
  }

 private:
  // At most so many different ids, a few of them outside the row.
  int32_t add_ids(int64_t n, int64_t most, std::vector<TokenValue>& lists) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < most; ++i) ids.push_back(static_cast<int32_t>(below(n + 3)));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const int32_t id : ids) lists.push_back({id, 0});
    return static_cast<int32_t>(ids.size());
  }

  std::mt19937_64 engine_;
};

void expect_same(const Rows& rows, const std::string& what) {
  const std::vector<int32_t> expected = rows.on_cpu();
  const std::vector<int32_t> actual = rows.on_gpu();
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t r = 0; r < expected.size(); ++r) {
    const SampleRow& how = rows.how[r];
    EXPECT_EQ(actual[r], expected[r])
        << what << ": row " << r << " of " << rows.n << ", scale " << how.scale << ", top_k "
        << how.top_k << ", top_p " << how.top_p << ", most " << how.most_exponent << ", "
        << how.n_biases << " biases, " << how.n_seen << " seen";
  }
}

TEST(GpuSample, AnyParametersAndLogitsGiveTheTokensOfTheCpu) {
  Random random(1);
  for (const int64_t n : {1, 2, 7, 40, 255, 1000, 1024, 8191, 32000, 151936}) {
    for (int kind = 0; kind < Random::kKinds; ++kind) {
      const int64_t n_rows = n < 10000 ? 1 + random.below(64) : 1 + random.below(12);
      // Strides of which some leave rows unaligned.
      Rows rows(n, n + random.of({0, 0, 1, 4, 64}));
      for (int64_t r = 0; r < n_rows; ++r) {
        rows.add(random.logits(n, kind), random.row(n, rows.lists));
      }
      if (n > 100) rows.excluded = {0, 5, static_cast<int32_t>(n - 1)};
      expect_same(rows, "kind " + std::to_string(kind));
    }
  }
}

TEST(GpuSample, ManyDrawsOfLargeVocabularies) {
  Random random(2);
  // The last is more than a cluster's shared memory holds.
  for (const int64_t n : {262144, 262143, 400000}) {
    for (const Params& params : {Params{1, 0, 1, 0}, Params{0.8f, 64, 0.95f, 0},
                                 Params{1, 0, 0.9f, 0}, Params{1.3f, 0, 1, 0.02f}, Params{0}}) {
      Rows rows(n, n);
      const std::vector<float> logits = random.logits(n, static_cast<int>(random.below(4)));
      for (int r = 0; r < 12; ++r) rows.add(logits, make_row(params, random.bits()));
      expect_same(rows, "top_p " + std::to_string(params.top_p));
    }
  }
}

// The first and the last token that can be drawn, and a limit in every place among equal logits.
TEST(GpuSample, EndsOfTheRangeAndLimitsAmongTies) {
  Random random(3);
  const int64_t n = 5000;
  Rows rows(n, n);
  for (const uint64_t bits : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{1} << 63}) {
    for (int top_k = 1; top_k < n; top_k += 611) {
      rows.add(random.logits(n, 3), make_row({1, top_k, 1, 0}, bits));
      rows.add(random.logits(n, 4), make_row({1, top_k, 0.37f, 0}, bits));
    }
  }
  expect_same(rows, "limits");
}

TEST(GpuSample, FindsTheFirstLargest) {
  const int64_t vocab = 70001;
  std::vector<float> logits = fixtures::random_floats(vocab, 17);
  logits[12345] = logits[54321] = 100.0f;
  logits[vocab - 1] = 100.0f;
  Rows rows(vocab, vocab);
  rows.add(logits, {});
  EXPECT_EQ(rows.on_gpu(), (std::vector<int32_t>{12345}));
  rows.excluded = {12345};
  EXPECT_EQ(rows.on_gpu(), (std::vector<int32_t>{54321}));
  rows.lists = {{3, 200.0f}};
  rows.how[0].n_biases = 1;
  EXPECT_EQ(rows.on_gpu(), (std::vector<int32_t>{3}));
}

TEST(GpuSample, BrokenRowsFailAlone) {
  Random random(4);
  const int64_t n = 20000;
  for (const Params& params : {Params{0}, Params{1, 50, 0.9f, 0.01f}}) {
    Rows rows(n, n);
    std::vector<int32_t> expected;
    for (int r = 0; r < 24; ++r) {
      std::vector<float> logits = random.logits(n, 1);
      const auto at = static_cast<size_t>(random.below(n));
      if (r % 4 == 1) logits[at] = kNan;
      if (r % 4 == 2) logits[at] = kInfinity;
      if (r % 8 == 3) logits.assign(logits.size(), -kInfinity);
      if (r % 8 == 7) logits.assign(logits.size(), kNan);
      rows.add(logits, make_row(params, random.bits()));
    }
    const std::vector<int32_t> tokens = rows.on_gpu();
    for (size_t r = 0; r < tokens.size(); ++r) {
      if (r % 4 == 0) {
        EXPECT_GE(tokens[r], 0) << r;
      } else {
        EXPECT_EQ(tokens[r], r % 8 == 3 ? kNoFiniteLogit : kBrokenLogits) << r;
      }
    }
    expect_same(rows, "broken rows");
  }
}

// What a row gives does not depend on the rows beside it.
TEST(GpuSample, RowsAreSampledAlone) {
  Random random(5);
  const int64_t n = 32000;
  Rows all(n, n);
  for (int r = 0; r < 32; ++r) all.add(random.logits(n, r % 4), random.row(n, all.lists));
  const std::vector<int32_t> together = all.on_gpu();
  for (int64_t r = 0; r < all.size(); ++r) {
    Rows one(n, n);
    one.lists = all.lists;
    const auto begin = all.logits.begin() + r * n;
    one.add(std::vector<float>(begin, begin + n), all.how[static_cast<size_t>(r)]);
    EXPECT_EQ(one.on_gpu()[0], together[static_cast<size_t>(r)]) << r;
  }
}

// Rows with masks, of few tokens and of many, beside rows without; what is masked may be broken.
TEST(GpuSample, MaskedRows) {
  Random random(6);
  std::mt19937_64 bits(6);
  for (const int64_t n : {1, 31, 33, 1000, 8191, 32000, 151936, 262144, 400000}) {
    for (const double share : {0.0, 1e-4, 0.01, 0.5, 0.999}) {
      Rows rows(n, n + random.of({0, 1, 4}));
      for (int r = 0; r < 6; ++r) {
        std::vector<float> logits = random.logits(n, static_cast<int>(random.below(5)));
        rows.add(logits, random.row(n, rows.lists));
        if (r % 3 == 2) continue;
        rows.mask_last(bits, share);
        const auto place = static_cast<size_t>(random.below(n));
        rows.logits[rows.logits.size() - static_cast<size_t>(rows.stride) + place] = kNan;
      }
      if (n > 100) rows.excluded = {0, 5, static_cast<int32_t>(n - 1)};
      expect_same(rows, "masks of " + std::to_string(share));
    }
  }
}

}  // namespace
}  // namespace tq
