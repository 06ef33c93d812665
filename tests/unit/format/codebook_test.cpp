#include "format/codebook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"

namespace tq {
namespace {

using ::testing::ElementsAreArray;

std::vector<uint32_t> positive_half_bits(int bits, int group) {
  const auto centroids = codebook(bits, group).centroids;
  std::vector<uint32_t> out;
  for (size_t k = centroids.size() / 2; k < centroids.size(); ++k) {
    out.push_back(std::bit_cast<uint32_t>(centroids[k]));
  }
  return out;
}

TEST(Codebook, GoldenBitPatterns) {
  const auto expect = [](int bits, int group, std::vector<uint32_t> golden) {
    EXPECT_THAT(positive_half_bits(bits, group), ElementsAreArray(golden)) << bits << " " << group;
  };
  expect(2, 128, {0x3d2400e7, 0x3e08ab6b});
  expect(3, 128, {0x3cb1778c, 0x3d88d9fa, 0x3df345ff, 0x3e42c596});
  expect(4, 128,
         {0x3c3669ec, 0x3d09e98b, 0x3d69b0e4, 0x3da7f06a, 0x3de059fc, 0x3e10d520, 0x3e39af1a,
          0x3e75ed5a});
  expect(2, 64, {0x3d67ef9e, 0x3e4147ae});
  expect(3, 64, {0x3cfaf9e9, 0x3dc18986, 0x3e2c0531, 0x3e89b977});
  expect(4, 64,
         {0x3c80fc6b, 0x3d430993, 0x3da53e96, 0x3ded8074, 0x3e1ea3f6, 0x3e4cd2f9, 0x3e834c65,
          0x3eade592});
  expect(2, 256, {0x3ce7ef9e, 0x3dc147ae});
  expect(3, 256, {0x3c7af9e9, 0x3d418986, 0x3dac0531, 0x3e09b977});
  expect(4, 256,
         {0x3c00fc6b, 0x3cc30993, 0x3d253e96, 0x3d6d8074, 0x3d9ea3f6, 0x3dccd2f9, 0x3e034c65,
          0x3e2de592});
  expect(2, 32, {0x3da400e7, 0x3e88ab6b});
  expect(3, 32, {0x3d31778c, 0x3e08d9fa, 0x3e7345ff, 0x3ec2c596});
}

// Moments of N(0, 1) over [a, b] with 0 <= a < b: probability, first and second moment.
struct Moments {
  double p, m1, m2;
};
Moments moments(double a, double b) {
  const auto tail = [](double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); };
  const auto density = [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); };
  const double p = tail(a) - tail(b);
  const double end = std::isinf(b) ? 0 : b * density(b);
  return {p, density(a) - density(b), p + a * density(a) - end};
}

// The normal quantile of 0.5 + p by bisection.
double upper_quantile(double p) {
  double low = 0, high = 10;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (0.5 - 0.5 * std::erfc(middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return low;
}

// Lloyd's iteration for N(0, 1) from equally probable cells; positive half (it stays symmetric).
std::vector<double> lloyd_half(int bits, int iterations) {
  const int half = 1 << (bits - 1);
  std::vector<double> boundary(half + 1), centroid(half);
  for (int k = 0; k < half; ++k) boundary[k] = k == 0 ? 0 : upper_quantile(0.5 * k / half);
  boundary[half] = std::numeric_limits<double>::infinity();
  for (int i = 0; i < iterations; ++i) {
    for (int k = 0; k < half; ++k) {
      const Moments m = moments(boundary[k], boundary[k + 1]);
      centroid[k] = m.m1 / m.p;
    }
    for (int k = 1; k < half; ++k) boundary[k] = (centroid[k - 1] + centroid[k]) / 2;
  }
  return centroid;
}

TEST(Codebook, ThreeAndFourBitsAreHundredLloydSteps) {
  for (const int bits : {3, 4}) {
    const auto derived = lloyd_half(bits, 100);
    const auto centroids = codebook(bits, 64).centroids;
    for (size_t k = 0; k < derived.size(); ++k) {
      EXPECT_EQ(centroids[derived.size() + k], static_cast<float>(derived[k] / 8)) << bits;
    }
  }
}

TEST(Codebook, FourBitsHaveNotConverged) {
  EXPECT_NE(codebook(4, 64).centroids[15], static_cast<float>(lloyd_half(4, 5000)[7] / 8));
}

TEST(Codebook, FiveBitsAreConverged) {
  const auto derived = lloyd_half(5, 6000);
  const auto centroids = codebook(5, 64).centroids;
  for (size_t k = 0; k < derived.size(); ++k) {
    EXPECT_NEAR(centroids[16 + k], derived[k] / 8, 1e-7);
  }
}

// Squared error of rounding N(0, 1) to centroids `values` (ascending, positive side only is used,
// so the source is |N(0, 1)|).
double positive_error(const std::vector<double>& values) {
  double sum = 0;
  for (size_t k = 0; k < values.size(); ++k) {
    const double low = k == 0 ? 0 : (values[k - 1] + values[k]) / 2;
    const double high = k + 1 == values.size() ? std::numeric_limits<double>::infinity()
                                               : (values[k] + values[k + 1]) / 2;
    const Moments m = moments(low, high);
    sum += 2 * (m.m2 - 2 * values[k] * m.m1 + values[k] * values[k] * m.p);
  }
  return sum;
}

TEST(Codebook, UniformStepsMinimiseTheError) {
  for (const int bits : {6, 8}) {
    const double step = double{codebook(bits, 64).step} * 8;
    const auto error = [&](double trial) {
      std::vector<double> values;
      for (int k = 0; k < (1 << (bits - 1)); ++k)
        values.push_back((k + (bits == 6 ? 0.5 : 0)) * trial);
      return positive_error(values);
    };
    EXPECT_LT(error(step), error(step * 1.01)) << bits;
    EXPECT_LT(error(step), error(step * 0.99)) << bits;
  }
}

TEST(Codebook, TablesAgree) {
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const int group : {32, 64, 128, 256}) {
      const Codebook& book = codebook(bits, group);
      EXPECT_EQ(book.bits, bits);
      EXPECT_EQ(book.group, group);
      ASSERT_EQ(book.centroids.size(), size_t{1} << bits);
      ASSERT_EQ(book.boundaries.size(), book.centroids.size() - 1);
      ASSERT_EQ(book.int8_centroids.size(), book.centroids.size());
      EXPECT_EQ(reinterpret_cast<uintptr_t>(book.centroids.data()) % 64, 0u);
      for (size_t k = 0; k < book.centroids.size(); ++k) {
        EXPECT_NEAR(book.int8_centroids[k] * book.int8_unit, book.centroids[k],
                    book.int8_unit * 0.5001f);
        if (k == 0) continue;
        EXPECT_LT(book.centroids[k - 1], book.centroids[k]);
        EXPECT_LT(book.int8_centroids[k - 1], book.int8_centroids[k]);
        EXPECT_EQ(book.boundaries[k - 1], (book.centroids[k - 1] + book.centroids[k]) / 2);
      }
    }
  }
}

TEST(Codebook, Int8TablesAreExactForUniformFormats) {
  for (const int group : {32, 64, 128, 256}) {
    const Codebook& six = codebook(6, group);
    for (int k = 0; k < 64; ++k) {
      EXPECT_EQ(six.int8_centroids[k], 2 * k - 63);
      EXPECT_EQ(six.centroids[k], six.int8_centroids[k] * six.int8_unit);
    }
    const Codebook& eight = codebook(8, group);
    for (int k = 0; k < 256; ++k) {
      EXPECT_EQ(eight.int8_centroids[k], k - 128);
      EXPECT_EQ(eight.centroids[k], eight.int8_centroids[k] * eight.int8_unit);
    }
  }
}

TEST(Codebook, Int8RoundingCostsLittle) {
  constexpr double kMost[] = {1.000001, 1.00005, 1.0013, 1.0142};
  for (const int bits : {2, 3, 4, 5}) {
    const Codebook& book = codebook(bits, 64);
    std::vector<double> exact, rounded;
    for (size_t k = book.centroids.size() / 2; k < book.centroids.size(); ++k) {
      exact.push_back(8.0 * book.centroids[k]);
      rounded.push_back(8.0 * book.int8_unit * book.int8_centroids[k]);
    }
    EXPECT_LT(positive_error(rounded) / positive_error(exact), kMost[bits - 2]) << bits;
  }
}

TEST(Codebook, RefusesWhatDoesNotExist) {
  EXPECT_THROW(codebook(1, 128), Error);
  EXPECT_THROW(codebook(7, 128), Error);
  EXPECT_THROW(codebook(9, 128), Error);
  EXPECT_THROW(codebook(3, 96), Error);
}

}  // namespace
}  // namespace tq
