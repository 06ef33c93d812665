// What every format in THE LIST of KV formats must do. A new one is tested by being in the list.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/float16.h"
#include "format/codebook.h"
#include "format/hadamard.h"
#include "format/kv_formats.h"
#include "format/packing.h"
#include "format/scalar_encoder.h"
#include "unit/format/test_rows.h"

namespace tq {
namespace {

template <typename List>
struct TypesOfKv;
template <typename... Formats>
struct TypesOfKv<FormatList<Formats...>> {
  using Type = ::testing::Types<Formats...>;
};

struct KvFormatName {
  template <typename F>
  static std::string GetName(int) {
    return std::string(F::kName);
  }
};

constexpr int64_t kDims[] = {1, 2, 3, 5, 7, 31, 32, 33, 64, 80, 96, 127, 128, 192, 256, 576, 1024};
constexpr uint8_t kCanary = 0xa5;

// A vector's places in the planes, with room on both sides that must stay as it is.
class Stored {
 public:
  Stored(const KvVectorTraits& vectors, int64_t dim)
      : vectors_(vectors),
        dim_(dim),
        codes_(static_cast<size_t>(vectors.code_bytes(dim)) + 2 * kRoom, kCanary),
        gains_(static_cast<size_t>(vectors.n_gains(dim)) + 2 * kRoom, kCanary) {}

  std::vector<float> through(const std::vector<float>& x) {
    const bool has_gains = vectors_.n_gains(dim_) > 0;
    uint16_t* const gains = has_gains ? gains_.data() + kRoom : nullptr;
    vectors_.store(x.data(), dim_, codes_.data() + kRoom, gains);
    std::vector<float> out(static_cast<size_t>(dim_) + kRoom, 123.0f);
    vectors_.load(codes_.data() + kRoom, gains, dim_, out.data());
    EXPECT_EQ(std::count(out.begin() + dim_, out.end(), 123.0f), kRoom);
    out.resize(static_cast<size_t>(dim_));
    return out;
  }
  bool room_is_untouched() const {
    const auto is_canary = [](auto x) { return x == kCanary; };
    return std::all_of(codes_.begin(), codes_.begin() + kRoom, is_canary) &&
           std::all_of(codes_.end() - kRoom, codes_.end(), is_canary) &&
           std::all_of(gains_.begin(), gains_.begin() + kRoom, is_canary) &&
           std::all_of(gains_.end() - kRoom, gains_.end(), is_canary);
  }

 private:
  static constexpr int kRoom = 16;
  const KvVectorTraits& vectors_;
  int64_t dim_;
  std::vector<uint8_t> codes_;
  std::vector<uint16_t> gains_;
};

template <typename F>
class EveryKvFormat : public ::testing::Test {
 protected:
  const KvFormatTraits& format_ = kv_format_traits(kv_format_id<F>());

  // check(vectors, dim) for keys and values of every size.
  template <typename Check>
  void each(const Check& check) {
    int n_checked = 0;
    for (const KvVectorTraits* vectors : {&format_.keys, &format_.values}) {
      for (const int64_t dim : kDims) {
        if (!vectors->takes(dim)) continue;
        SCOPED_TRACE(fmt::format("{} of {}", vectors == &format_.keys ? "keys" : "values", dim));
        check(*vectors, dim);
        ++n_checked;
      }
    }
    EXPECT_GE(n_checked, 12) << "a format of few sizes";
  }
};
TYPED_TEST_SUITE(EveryKvFormat, TypesOfKv<AllKvFormats>::Type, KvFormatName);

TYPED_TEST(EveryKvFormat, IsFoundByItsName) {
  EXPECT_EQ(this->format_.name, TypeParam::kName);
  EXPECT_EQ(this->format_.id, kv_format_id<TypeParam>());
  EXPECT_EQ(find_kv_format(TypeParam::kName), &this->format_);
}

TYPED_TEST(EveryKvFormat, TakesNoMoreThanFloatsAndGrowsWithTheVector) {
  this->each([](const KvVectorTraits& vectors, int64_t dim) {
    EXPECT_GT(vectors.code_bytes(dim), 0);
    EXPECT_GE(vectors.n_gains(dim), 0);
    EXPECT_EQ(vectors.bytes(dim), vectors.code_bytes(dim) + 2 * vectors.n_gains(dim));
    EXPECT_LE(vectors.code_bytes(dim), 4 * dim);
    EXPECT_GE(vectors.bytes(2 * dim), vectors.bytes(dim));
  });
}

// A load gives back what was stored, nothing beside its place is touched, and the bytes depend on
// the vector alone.
TYPED_TEST(EveryKvFormat, KeepsVectorsWithinItsError) {
  this->each([](const KvVectorTraits& vectors, int64_t dim) {
    const std::vector<float> x = gaussian_row(dim, static_cast<unsigned>(dim));
    Stored stored(vectors, dim);
    const std::vector<float> out = stored.through(x);
    EXPECT_TRUE(stored.room_is_untouched());
    // Six times the rate-distortion bound; a code of one number has no more than its bits.
    const double bits = 8.0 * static_cast<double>(vectors.code_bytes(dim)) / double(dim);
    EXPECT_LT(relative_error(x, out), 6 * std::pow(4.0, -std::min(bits, 9.0)));
    const std::vector<float> other = gaussian_row(dim, 1);
    (void)stored.through(other);
    EXPECT_EQ(stored.through(x), out);
  });
}

TYPED_TEST(EveryKvFormat, ZerosStayZeros) {
  this->each([](const KvVectorTraits& vectors, int64_t dim) {
    const std::vector<float> zeros(static_cast<size_t>(dim), 0.0f);
    EXPECT_EQ(Stored(vectors, dim).through(zeros), zeros);
  });
}

// A fault upstream must show in the logits, not become a number.
TYPED_TEST(EveryKvFormat, KeepsNan) {
  this->each([](const KvVectorTraits& vectors, int64_t dim) {
    std::vector<float> x = gaussian_row(dim, 3);
    const auto at = static_cast<size_t>(dim / 2);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(Stored(vectors, dim).through(x)[at]));
  });
}

TEST(KvFormats, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (const KvFormatTraits& format : all_kv_formats()) names.insert(format.name);
  EXPECT_EQ(names.size(), all_kv_formats().size());
  EXPECT_EQ(find_kv_format("f17"), nullptr);
}

TEST(KvFormats, TheDefaultRoundsOnlyWhereItMay) {
  EXPECT_EQ(kv_format_traits(default_kv_format()).name, "f16");
  EXPECT_EQ(kv_format_traits(default_kv_format(/*exact=*/true)).name, "f32");
}

TEST(KvFormats, TakeTheBytesOfTheirNumbers) {
  for (const auto& [name, bytes] :
       {std::pair<std::string_view, int64_t>{"f32", 4}, {"f16", 2}, {"bf16", 2}}) {
    EXPECT_EQ(find_kv_format(name)->keys.bytes(77), 77 * bytes) << name;
    EXPECT_EQ(find_kv_format(name)->values.bytes(77), 77 * bytes) << name;
  }
}

// Compressed formats against the definition, step by step: the weight codec's scalar encoder for
// each group of the vector, its centroids, the gain in f16, and the rotation back.
TEST(CompressedKv, VectorsAreGroupsOfTheScalarCodec) {
  struct Case {
    std::string_view name;
    int key_bits, value_bits;
  };
  for (const auto& [name, key_bits, value_bits] : {Case{"k8v8", 8, 8},
                                                   {"k8v4", 8, 4},
                                                   {"k5v4", 5, 4},
                                                   {"k4v4", 4, 4},
                                                   {"k4v3", 4, 3},
                                                   {"k4v2", 4, 2},
                                                   {"k3v3", 3, 3}}) {
    SCOPED_TRACE(name);
    const KvFormatTraits& format = *find_kv_format(name);
    EXPECT_TRUE(format.is_compressed());
    for (const auto& [dim, group] :
         {std::pair(32, 32), {64, 64}, {96, 32}, {128, 128}, {192, 64}, {256, 128}, {576, 64}}) {
      for (const bool keys : {true, false}) {
        const int bits = keys ? key_bits : value_bits;
        const KvVectorTraits& vectors = keys ? format.keys : format.values;
        EXPECT_EQ(vectors.bytes(dim), dim * bits / 8 + 2 * (dim / group));
        const std::vector<float> x = gaussian_row(dim, static_cast<unsigned>(bits));
        std::vector<uint8_t> codes(static_cast<size_t>(dim * bits / 8)), expected = codes;
        std::vector<uint16_t> gains(static_cast<size_t>(dim / group));
        std::vector<float> expected_gains(gains.size());
        vectors.store(x.data(), dim, codes.data(), gains.data());
        (*generic_scalar_encoders().by_bits[static_cast<size_t>(bits)])(
            x.data(), dim, group, {Effort::kFast, keys ? 1.0f : 0.5f}, expected.data(),
            expected_gains.data());
        EXPECT_EQ(codes, expected);
        std::vector<float> out(x.size());
        vectors.load(codes.data(), gains.data(), dim, out.data());
        for (int g = 0; g < dim / group; ++g) {
          const auto at = static_cast<size_t>(g);
          ASSERT_EQ(gains[at], f32_to_f16(expected_gains[at]));
          std::vector<float> decoded(static_cast<size_t>(group));
          for (int i = 0; i < group; ++i) {
            const int index = unpack_index(codes.data(), bits, int64_t{g} * group + i);
            decoded[static_cast<size_t>(i)] =
                f16_to_f32(gains[at]) * codebook(bits, group).centroids[static_cast<size_t>(index)];
          }
          unrotate_group(decoded.data(), group);
          for (int i = 0; i < group; ++i) {
            ASSERT_EQ(decoded[static_cast<size_t>(i)], out[static_cast<size_t>(g * group + i)]);
          }
        }
      }
    }
  }
}

TEST(CompressedKv, TakeTheBytesThatWereAskedFor) {
  const auto bytes_of = [](std::string_view name) {
    const KvFormatTraits& format = *find_kv_format(name);
    return format.keys.bytes(128) + format.values.bytes(128);
  };
  EXPECT_EQ(bytes_of("k4v3"), 116);
  EXPECT_EQ(bytes_of("k8v8"), 260);
  EXPECT_EQ(bytes_of("f16"), 512);
}

TEST(CompressedKv, SizesWithoutGroupsAreNotTaken) {
  const KvFormatTraits& format = *find_kv_format("k4v3");
  for (const int64_t dim : {1, 16, 33, 80, 100}) EXPECT_FALSE(format.keys.takes(dim)) << dim;
  for (const int64_t dim : {32, 64, 96, 160, 512}) EXPECT_TRUE(format.values.takes(dim)) << dim;
}

// A gain beyond f16 would be infinite, and its numbers with it.
TEST(CompressedKv, LargeVectorsStayFinite) {
  for (const std::string_view name : {"k8v8", "k4v3"}) {
    const KvFormatTraits& format = *find_kv_format(name);
    const std::vector<float> x(128, 1e9f);
    const std::vector<float> out = Stored(format.keys, 128).through(x);
    EXPECT_TRUE(std::all_of(out.begin(), out.end(), [](float v) { return std::isfinite(v); }));
  }
}

TEST(CompressedKv, InfinityIsNotLost) {
  const KvFormatTraits& format = *find_kv_format("k4v3");
  std::vector<float> x = gaussian_row(128, 3);
  x[7] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(Stored(format.values, 128).through(x)[7]));
}

// Keys: what softmax takes products of must not be too small on average.
TEST(CompressedKv, KeysKeepInnerProducts) {
  const KvVectorTraits& keys = find_kv_format("k4v3")->keys;
  double with_itself = 0, squared = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::vector<float> x = gaussian_row(128, seed);
    const std::vector<float> out = Stored(keys, 128).through(x);
    for (size_t i = 0; i < x.size(); ++i) {
      with_itself += double{x[i]} * out[i];
      squared += double{x[i]} * x[i];
    }
  }
  EXPECT_NEAR(with_itself / squared, 1, 2e-3) << "without a correction it is 0.991";
}

}  // namespace
}  // namespace tq
