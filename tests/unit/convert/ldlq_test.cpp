// Rounding with feedback: the factor of a Hessian is one, and errors of outputs shrink by it.
#include "convert/ldlq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "convert/convert.h"
#include "io/native/native_manifest.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

// Of inputs that have much in common: a few directions and noise.
Hessian correlated(int64_t in, float noise, int64_t n_inputs = 1 << 20) {
  std::mt19937 draw(7);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> directions(6, std::vector<float>(static_cast<size_t>(in)));
  for (auto& direction : directions) {
    for (float& x : direction) x = normal(draw);
  }
  Hessian hessian{in, n_inputs, std::vector<float>(static_cast<size_t>(in * in))};
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      float sum = i == j ? noise : 0;
      for (const auto& d : directions) sum += d[static_cast<size_t>(i)] * d[static_cast<size_t>(j)];
      hessian.values[static_cast<size_t>(i * in + j)] = sum;
    }
  }
  return hessian;
}

double at(const Hessian& hessian, int64_t i, int64_t j) {
  if (i >= hessian.in || j >= hessian.in) return 0;
  return hessian.values[static_cast<size_t>(std::max(i, j) * hessian.in + std::min(i, j))];
}

// e H e^T
double cost(const Hessian& hessian, const std::vector<float>& e) {
  double sum = 0;
  for (int64_t i = 0; i < hessian.in; ++i) {
    for (int64_t j = 0; j < hessian.in; ++j) {
      sum += at(hessian, i, j) * e[static_cast<size_t>(i)] * e[static_cast<size_t>(j)];
    }
  }
  return sum;
}

std::vector<float> gaussian(int64_t n) {
  std::mt19937 draw(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& x : values) x = normal(draw);
  return values;
}

struct Encoded {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  bool operator==(const Encoded&) const = default;
};

Encoded encode(const WeightView& shape, const std::vector<float>& rows,
               const ErrorFeedback* feedback) {
  Encoded out{std::vector<uint8_t>(static_cast<size_t>(shape.rows * shape.code_row_bytes())),
              std::vector<uint16_t>(static_cast<size_t>(shape.rows * shape.gains_per_row()))};
  if (feedback == nullptr) {
    RowEncoder("w", shape, {}).encode(rows.data(), shape.rows, out.codes.data(), out.gains.data());
  } else {
    FeedbackEncoder("w", shape, {}, *feedback)
        .encode(rows.data(), shape.rows, out.codes.data(), out.gains.data());
  }
  return out;
}

double cost_of(const Hessian& hessian, const WeightView& shape, const std::vector<float>& rows,
               const Encoded& encoded) {
  WeightView view = shape;
  view.codes = encoded.codes.data();
  view.gains = encoded.gains.data();
  std::vector<float> error(static_cast<size_t>(shape.in));
  std::vector<float> scratch(static_cast<size_t>(shape.in_padded));
  double sum = 0;
  for (int64_t r = 0; r < shape.rows; ++r) {
    decode_row_plain(view, r, error.data(), scratch.data());
    for (int64_t i = 0; i < shape.in; ++i) {
      error[static_cast<size_t>(i)] -= rows[static_cast<size_t>(r * shape.in + i)];
    }
    sum += cost(hessian, error);
  }
  return sum;
}

// U^-1 (H + damping) U^-T has nothing outside its diagonal blocks.
TEST(ErrorFeedback, FactorsTheHessian) {
  constexpr int64_t kIn = 90, kPadded = 96;
  constexpr int kGroup = 32;
  const Hessian hessian = correlated(kIn, 2.0f);
  ThreadPool pool(2);
  const ErrorFeedback feedback(hessian, kPadded, kGroup, pool);
  double trace = 0;
  for (int64_t i = 0; i < kIn; ++i) trace += at(hessian, i, i);
  std::vector<std::vector<double>> left(kPadded, std::vector<double>(kPadded));
  for (int64_t i = 0; i < kPadded; ++i) {
    for (int64_t j = 0; j < kPadded; ++j) {
      left[static_cast<size_t>(i)][static_cast<size_t>(j)] =
          at(hessian, i, j) + (i == j ? 0.01 * trace / kIn : 0);
    }
  }
  const double largest = left[0][0];
  const auto u = [&](int64_t row, int64_t column) -> double {  // above the diagonal blocks
    return feedback.block(column / kGroup, row / kGroup)[column % kGroup * kGroup + row % kGroup];
  };
  // Rows, then columns, from the last group on: row i loses U_ij times row j.
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t i = kPadded - 1; i >= 0; --i) {
      for (int64_t j = (i / kGroup + 1) * kGroup; j < kPadded; ++j) {
        for (int64_t c = 0; c < kPadded; ++c) {
          const auto row = static_cast<size_t>(i), other = static_cast<size_t>(j),
                     column = static_cast<size_t>(c);
          if (pass == 0) left[row][column] -= u(i, j) * left[other][column];
          if (pass == 1) left[column][row] -= u(i, j) * left[column][other];
        }
      }
    }
  }
  for (int64_t i = 0; i < kPadded; ++i) {
    for (int64_t j = 0; j < kPadded; ++j) {
      if (i / kGroup == j / kGroup) continue;
      ASSERT_NEAR(left[static_cast<size_t>(i)][static_cast<size_t>(j)], 0, 1e-3 * largest)
          << i << " " << j;
    }
  }
}

TEST(ErrorFeedback, IsTheSameOnAnyNumberOfThreads) {
  const Hessian hessian = correlated(256, 1.0f);
  ThreadPool one(1), three(3);
  const ErrorFeedback a(hessian, 256, 64, one), b(hessian, 256, 64, three);
  for (int64_t k = 1; k < 4; ++k) {
    for (int64_t i = 0; i < k * 64 * 64; ++i) ASSERT_EQ(a.block(k, 0)[i], b.block(k, 0)[i]);
  }
}

// Of a Hessian that is a diagonal there is nothing to feed back.
TEST(FeedbackEncoder, WithoutCorrelationsEncodesAsWithoutFeedback) {
  Hessian hessian{200, 1000, std::vector<float>(200 * 200)};
  for (int64_t i = 0; i < 200; ++i) hessian.values[static_cast<size_t>(i * 201)] = 1.0f + i;
  ThreadPool pool(1);
  for (const char* name : {"tq3", "w7_3"}) {
    const WeightView shape = weight_shape(*find_format(name), 5, 200);
    const ErrorFeedback feedback(hessian, shape.in_padded, shape.group, pool);
    const std::vector<float> rows = gaussian(5 * 200);
    EXPECT_EQ(encode(shape, rows, &feedback), encode(shape, rows, nullptr)) << name;
  }
}

TEST(FeedbackEncoder, ErrorsOfOutputsShrinkInEveryFormatAndShape) {
  ThreadPool pool(2);
  for (const FormatTraits& format : all_formats()) {
    if (!format.has_scales || format.rows_together != 1) continue;
    for (const int64_t in : {256, 320, 288, 200}) {  // groups of 128, 64, 32; with padding
      const Hessian hessian = correlated(in, 1.0f);
      const WeightView shape = weight_shape(format, 9, in);
      const ErrorFeedback feedback(hessian, shape.in_padded, shape.group, pool);
      const std::vector<float> rows = gaussian(9 * in);
      const double without = cost_of(hessian, shape, rows, encode(shape, rows, nullptr));
      const double with = cost_of(hessian, shape, rows, encode(shape, rows, &feedback));
      EXPECT_LT(with, 0.8 * without) << format.name << " " << in;
    }
  }
}

// Directions that few inputs have in common are not believed.
TEST(ErrorFeedback, OfFewInputsFeedsBackLess) {
  ThreadPool pool(1);
  const auto size = [&](int64_t n_inputs) {
    const ErrorFeedback feedback(correlated(128, 1.0f, n_inputs), 128, 64, pool);
    double sum = 0;
    for (int64_t i = 0; i < 64 * 64; ++i) sum += std::abs(feedback.block(1, 0)[i]);
    return sum;
  };
  EXPECT_LT(size(1), 0.5 * size(1 << 20));
}

// Says for one tensor that its first rows have a Hessian and the others none.
class OneTensor final : public HessianSource {
 public:
  OneTensor(std::string tensor, int64_t in) : tensor_(std::move(tensor)) {
    hessian_ = std::make_shared<Hessian>(correlated(in, 1.0f));
  }
  void announce(std::vector<std::string> tensors) override { announced = std::move(tensors); }
  std::vector<HessianPart> parts(const TensorEntry& tensor) override {
    if (tensor.name != tensor_) return {{0, tensor.n_rows(), nullptr}};
    return {{0, 100, hessian_}, {100, tensor.n_rows(), nullptr}};
  }
  Json describe() const override { return {{"hash", "of the text"}}; }

  std::vector<std::string> announced;

 private:
  std::string tensor_;
  std::shared_ptr<Hessian> hessian_;
};

class ConvertWithHessians : public ::testing::Test {
 protected:
  ConvertWithHessians() { options_.n_threads = 2; }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  std::string down_ = "model.layers.0.mlp.down_proj.weight";
  OneTensor hessians_{down_, 192};
  ConvertOptions options_ = quick_options(dir_ / "result");
};

TEST_F(ConvertWithHessians, RoundsTheRowsThatHaveOneByIt) {
  ConvertOptions plain = options_;
  plain.destination = dir_ / "plain";
  convert_folder(source_, plain);
  options_.hessians = &hessians_;
  convert_folder(source_, options_);
  EXPECT_THAT(hessians_.announced, ::testing::Contains(down_));
  EXPECT_THAT(hessians_.announced, ::testing::Not(::testing::Contains("model.norm.weight")));
  const auto with = open_checkpoint(options_.destination);
  const auto without = open_checkpoint(plain.destination);
  for (const TensorEntry& tensor : with->tensors()) {
    const auto rows = [&](const Checkpoint& checkpoint, int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>((end - begin) * tensor.in()));
      const TensorEntry* entry = checkpoint.find(tensor.name);
      checkpoint.read_rows(*entry, begin, end - begin, values.data());
      return values;
    };
    const int64_t first = tensor.name == down_ ? 100 : 0;
    EXPECT_EQ(rows(*with, first, tensor.n_rows()), rows(*without, first, tensor.n_rows()))
        << tensor.name;
    EXPECT_TRUE(first == 0 || rows(*with, 0, first) != rows(*without, 0, first));
  }
  const Json config = parse_json(read_bytes(options_.destination / "tq_config.json"), "config");
  EXPECT_EQ(config["encoder"]["data"], hessians_.describe());
}

TEST_F(ConvertWithHessians, IsTheSameOnAnyNumberOfThreadsAndAfterAnInterruption) {
  options_.hessians = &hessians_;
  convert_folder(source_, options_);
  const auto expected = contents(options_.destination);
  ConvertOptions again = options_;
  again.destination = dir_ / "again";
  again.n_threads = 1;
  int blocks = 0;
  again.cancelled = [&] { return ++blocks == 6; };
  EXPECT_EQ(conversion_error(source_, again).code(), ErrorCode::kCancelled);
  // Without them it is another conversion.
  ConvertOptions without = again;
  without.cancelled = nullptr;
  without.hessians = nullptr;
  EXPECT_EQ(conversion_error(source_, without).code(), ErrorCode::kInvalidArgument);
  again.cancelled = nullptr;
  EXPECT_GT(convert_folder(source_, again).resumed, 0);
  EXPECT_EQ(contents(again.destination), expected);
}

}  // namespace
}  // namespace tq
