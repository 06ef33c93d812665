#include "kernels/cpu/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/sample_math.h"

namespace tq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(SampleMath, WeightsArePowersOfTwo) {
  EXPECT_EQ(sample_weight(0), uint64_t{1} << kSampleWeightBits);
  for (int whole = 1; whole <= kSampleWeightBits; ++whole) {
    EXPECT_EQ(sample_weight(static_cast<float>(whole)), uint64_t{1} << (kSampleWeightBits - whole));
  }
  for (int i = 0; i < 420000; ++i) {
    const float exponent = static_cast<float>(i) * 1e-4f;
    const double exact = std::exp2(kSampleWeightBits - double{exponent});
    const auto weight = static_cast<double>(sample_weight(exponent));
    ASSERT_NEAR(weight, exact, exact * 0x1p-21 + 1) << exponent;
  }
}

TEST(SampleMath, FarTokensHaveNoWeight) {
  for (const float exponent : {kNoWeight, 1e30f, kInfinity, std::nanf("")}) {
    EXPECT_EQ(sample_weight(exponent), 0u) << exponent;
  }
}

// Made once: another platform's must be the same.
TEST(SampleMath, PinnedWeights) {
  EXPECT_EQ(sample_weight(0.1f), 1025880621056u);
  EXPECT_EQ(sample_weight(0.9999999f), 549755879424u);
  EXPECT_EQ(sample_weight(7.3f), 6977193984u);
  EXPECT_EQ(sample_weight(30.2f), 891u);
  EXPECT_EQ(sample_weight(38.6f), 2u);
}

TEST(SampleMath, MinPAsAnExponent) {
  EXPECT_EQ(most_exponent(0), kNoWeight);
  EXPECT_EQ(most_exponent(0.5f), 1.0f);
  EXPECT_EQ(most_exponent(0.0078125f), 7.0f);
  for (const float min_p : {1e-9f, 0.01f, 0.3f, 0.999f}) {
    const float most = most_exponent(min_p);
    EXPECT_NEAR(std::exp2(-double{most}), min_p, 1e-6 * min_p + 0x1p-40);
    EXPECT_GE(static_cast<double>(sample_weight(most)), std::ldexp(min_p, kSampleWeightBits));
    EXPECT_LT(static_cast<double>(sample_weight(std::nextafter(most, 50.0f))),
              std::ldexp(min_p, kSampleWeightBits));
  }
}

TEST(SampleMath, SharesOfAMass) {
  EXPECT_EQ(top_p_mass(8, 0.5f), 4u);
  EXPECT_EQ(top_p_mass(9, 0.5f), 5u);  // at least that share
  EXPECT_EQ(top_p_mass(uint64_t{1} << 40, 1e-30f), 1u);
  EXPECT_EQ(upper_product(uint64_t{1} << 63, 10), 5u);
  EXPECT_EQ(upper_product(~uint64_t{0}, 10), 9u);
}

// The definition, without anything that makes it fast: all tokens sorted, prefixes of them kept.
int32_t by_definition(const std::vector<float>& logits, const SampleRow& row) {
  std::vector<size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), size_t{0});
  std::stable_sort(ids.begin(), ids.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const float highest = logits[ids[0]];
  const auto weight = [&](size_t id) {
    return sample_weight(sample_exponent(highest - logits[id], row.scale));
  };
  if (row.top_k > 0 && static_cast<size_t>(row.top_k) < ids.size()) {
    ids.resize(static_cast<size_t>(row.top_k));
  }
  if (row.top_p < 1) {
    uint64_t mass = 0;
    for (const size_t id : ids) mass += weight(id);
    uint64_t sum = 0;
    size_t kept = 0;
    while (sum < top_p_mass(mass, row.top_p)) sum += weight(ids[kept++]);
    ids.resize(kept);
  }
  std::erase_if(ids, [&](size_t id) {
    return sample_exponent(highest - logits[id], row.scale) > row.most_exponent;
  });
  std::sort(ids.begin(), ids.end());
  uint64_t mass = 0;
  for (const size_t id : ids) mass += weight(id);
  uint64_t left = upper_product(row.random, mass);
  for (const size_t id : ids) {
    if (left < weight(id)) return static_cast<int32_t>(id);
    left -= weight(id);
  }
  return -100;
}

TEST(RowSampler, DoesWhatIsDefined) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  const auto of = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  RowSampler sampler;
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> logits(static_cast<size_t>(of(1, 2, 10, 100, 3000)));
    const float spread = of(1e-6f, 0.1f, 1.0f, 20.0f, 1e4f);
    const bool ties = random() % 3 == 0;
    for (float& x : logits) {
      x = ties ? std::round(3 * normal(random)) * spread : normal(random) * spread;
      if (random() % 20 == 0) x = -kInfinity;
    }
    logits[random() % logits.size()] = 0.5f;
    SampleRow row;
    row.scale = of(1.4427f, 0.5f, 20.0f, 1e-9f, 1e9f);
    row.top_k = of(0, 1, 3, 40, 1000, 5000);
    row.top_p = of(1.0f, 0.99f, 0.9f, 0.3f, 1e-7f);
    row.most_exponent = of(kNoWeight, 0.0f, 1.0f, 12.3f);
    row.random = of(uint64_t{0}, ~uint64_t{0}, static_cast<uint64_t>(random()));
    const int32_t expected = by_definition(logits, row);
    ASSERT_EQ(sampler.sample(logits, row, nullptr), expected)
        << logits.size() << " logits, scale " << row.scale << ", top_k " << row.top_k << ", top_p "
        << row.top_p << ", most " << row.most_exponent << ", random " << row.random;
  }
}

TEST(RowSampler, ListsChangeLogits) {
  RowSampler sampler;
  SampleRow row;
  const std::vector<TokenValue> lists = {{9, 1}, {1, -2}, {0, 1}, {1, 0}, {2, 3}, {3, 0}, {-1, 1}};
  row.biases_begin = 1;
  row.n_biases = 1;
  row.seen_begin = 2;
  row.n_seen = 5;  // two of them outside the row
  row.repetition_penalty = 2;
  row.presence_penalty = 0.5f;
  row.frequency_penalty = 0.25f;
  std::vector<float> logits = {4, 1, 8};
  EXPECT_EQ(sampler.sample(logits, row, lists.data()), 2);
  EXPECT_EQ(logits, (std::vector<float>{1.25f, -2, 2.75f}));
}

TEST(RowSampler, SaysWhyNothingCanBeChosen) {
  RowSampler sampler;
  for (const float scale : {0.0f, 1.0f}) {
    SampleRow row;
    row.scale = scale;
    std::vector<float> logits = {0, std::nanf(""), 1};
    EXPECT_EQ(sampler.sample(logits, row, nullptr), kBrokenLogits);
    logits = {0, 1, kInfinity};
    EXPECT_EQ(sampler.sample(logits, row, nullptr), kBrokenLogits);
    logits = {-kInfinity, -kInfinity};
    EXPECT_EQ(sampler.sample(logits, row, nullptr), kNoFiniteLogit);
  }
}

// A mask makes logits -infinity, whatever they are.
TEST(RowSampler, MasksTokens) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  RowSampler sampler;
  for (int round = 0; round < 300; ++round) {
    const size_t n = 1 + random() % 300;
    std::vector<float> logits(n);
    for (float& x : logits) x = 3 * normal(random);
    const auto n_words = static_cast<size_t>(mask_words(static_cast<int64_t>(n)));
    std::vector<uint32_t> masks(3 * n_words, 0);  // of which the row has the second
    std::vector<float> expected = logits;
    for (size_t i = 0; i < n; ++i) {
      if (random() % 3 == 0) {
        masks[n_words + i / 32] |= uint32_t{1} << (i % 32);
      } else {
        expected[i] = -kInfinity;
        if (random() % 50 == 0) logits[i] = random() % 2 ? kInfinity : std::nanf("");
      }
    }
    SampleRow row;
    row.scale = round % 2 ? 1.2f : 0.0f;
    row.top_p = round % 4 < 2 ? 1.0f : 0.9f;
    row.random = random();
    const std::vector<TokenValue> lists = {{static_cast<int32_t>(random() % n), 50.0f}};
    row.n_biases = 1;
    const int32_t wanted = sampler.sample(expected, row, lists.data());
    row.mask = 1;
    ASSERT_EQ(sampler.sample(logits, row, lists.data(), masks.data()), wanted);
  }
}

}  // namespace
}  // namespace tq
