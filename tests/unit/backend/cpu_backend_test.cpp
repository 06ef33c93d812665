// The CPU backend: the split of operators over threads, activation forms, and its checks. What the
// operators compute is tested kernel by kernel in tests/unit/kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "kernels/cpu/kernels.h"
#include "support/allow_huge_allocations.h"
#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "unit/backend/backend_fixture.h"

namespace tq {
namespace {

using fixtures::AttentionCase;
using fixtures::OperatorRun;
using fixtures::PagedBatch;
using fixtures::RandomWeight;

std::unique_ptr<Backend> make_backend(int threads, bool exact = false) {
  CpuOptions options;
  options.threads = threads;
  options.exact = exact;
  return make_cpu_backend(options);
}

class CpuBackendModes : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Modes, CpuBackendModes, ::testing::Bool(),
                         [](const auto& mode) { return mode.param ? "exact" : "int8"; });

TEST_P(CpuBackendModes, ResultsDoNotDependOnTheThreadCount) {
  std::vector<std::vector<float>> expected;
  for (const int threads : {1, 2, 3, 5}) {
    const auto backend = make_backend(threads, GetParam());
    OperatorRun operators;
    operators.reserve(*backend);
    operators.store_kv(*backend);
    size_t i = 0;
    operators.run(*backend, [&](const char* name, const float* out, int64_t n) {
      if (threads == 1) {
        expected.emplace_back(out, out + n);
      } else {
        EXPECT_EQ(std::memcmp(out, expected[i].data(), static_cast<size_t>(n) * sizeof(float)), 0)
            << name << " with " << threads << " threads";
      }
      ++i;
    });
    EXPECT_EQ(i, expected.size());
  }
}

TEST_P(CpuBackendModes, PrepareAndMatmulApplyTheWeight) {
  const auto backend = make_backend(2, GetParam());
  for (const char* format : {"tq4", "tq8", "bf16", "f32"}) {
    RandomWeight weight(format, 50, 300, 3);
    if (std::string_view(format) == "f32")
      std::fill(weight.codes.begin(), weight.codes.end(), 0x3c);
    const WeightView& view = weight.view;
    std::vector<float> x(2 * 300);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    std::vector<float> storage(
        backend->activation_bytes(2, view.in_padded, view.group, view.traits().input) / 4 + 1);
    const Activation activation = backend->prepare(
        {x.data(), 2, 300, view.in_padded, view.group, view.traits().input, storage.data()});
    std::vector<float> out(100);
    backend->matmul({view, activation, nullptr, false, out.data()});

    std::vector<float> row(300);
    std::vector<float> scratch(static_cast<size_t>(view.in_padded));
    for (int64_t r = 0; r < 50; ++r) {
      decode_row_plain(view, r, row.data(), scratch.data());
      for (int64_t t = 0; t < 2; ++t) {
        double expected = 0;
        double scale = 0;  // a random sum's size
        for (int64_t i = 0; i < 300; ++i) {
          const double term =
              double{row[static_cast<size_t>(i)]} * double{x[static_cast<size_t>(t * 300 + i)]};
          expected += term;
          scale += term * term;
        }
        const bool integer = !GetParam() && view.traits().input == InputForm::kRotated;
        EXPECT_NEAR(out[static_cast<size_t>(t * 50 + r)], expected,
                    std::sqrt(scale) * (integer ? 0.04 : 1e-5))
            << format;
      }
    }
  }
}

TEST_P(CpuBackendModes, ATokensResultDoesNotDependOnItsBatch) {
  const auto backend = make_backend(2, GetParam());
  for (const char* format : {"tq3", "bf16"}) {
    const RandomWeight weight(format, 130, 576, 3);
    const WeightView& view = weight.view;
    std::vector<float> x(33 * 576);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    std::vector<float> storage(33 * 576);
    const auto multiply = [&](int64_t first, int64_t tokens) {
      std::vector<float> out(static_cast<size_t>(tokens * 130));
      const Activation activation =
          backend->prepare({x.data() + first * 576, tokens, 576, view.in_padded, view.group,
                            view.traits().input, storage.data()});
      backend->matmul({view, activation, nullptr, false, out.data()});
      return out;
    };
    const std::vector<float> all = multiply(0, 33);
    for (int64_t t = 0; t < 33; ++t) {
      const std::vector<float> alone = multiply(t, 1);
      EXPECT_EQ(std::memcmp(alone.data(), &all[static_cast<size_t>(t * 130)], 130 * sizeof(float)),
                0)
          << format << " token " << t;
    }
  }
}

TEST(CpuBackend, AttentionOfARaggedBatchMatchesTheDefinition) {
  for (const int threads : {1, 2, 4}) {
    const auto backend = make_backend(threads);
    AttentionCase shape{{1, 70, 0, 1, 9}, {300, 70, 4, 1, 33}, 6, 2, 64, 32, fixtures::kKvBf16};
    shape.window = 50;
    PagedBatch batch(shape);
    for (int64_t s = 0; s < batch.n_seqs(); ++s) backend->kv_store(batch.store_args(s));
    backend->attention(batch.attention_args());
    const std::vector<double> expected = batch.reference();
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(batch.out()[i], expected[i], 5e-6 * (1 + std::abs(expected[i])));
    }
  }
}

TEST(CpuBackend, PlainActivationsAreUsedInPlace) {
  const auto backend = make_backend(1);
  const std::vector<float> x(64, 1.0f);
  EXPECT_EQ(backend->activation_bytes(7, 64, 0, InputForm::kPlain), 0u);
  const Activation plain = backend->prepare({x.data(), 1, 64, 64, 0, InputForm::kPlain, nullptr});
  EXPECT_EQ(plain.f32, x.data());
  EXPECT_EQ(plain.q8, nullptr);
  EXPECT_EQ(plain.form, InputForm::kPlain);
}

TEST(CpuBackend, RotatedActivationsFitWhatWasPlanned) {
  const std::vector<float> x(3 * 100, 1.0f);
  for (const bool exact : {false, true}) {
    const auto backend = make_backend(1, exact);
    const size_t size = backend->activation_bytes(3, 128, 128, InputForm::kRotated);
    EXPECT_EQ(size, exact ? 3u * 128 * 4 : 3u * 128 + 3 * 4);
    std::vector<float> storage(size / 4 + 1, -7.0f);
    const Activation activation =
        backend->prepare({x.data(), 3, 100, 128, 128, InputForm::kRotated, storage.data()});
    EXPECT_EQ(activation.f32 != nullptr, exact);
    EXPECT_EQ(activation.q8 != nullptr, !exact);
    EXPECT_EQ(activation.q8_scale != nullptr, !exact);
    EXPECT_EQ(storage.back(), -7.0f);
  }
}

TEST(CpuBackend, DescribesItself) {
  const std::string isa(select_kernels().name);
  EXPECT_EQ(make_backend(1)->description(), "cpu, 1 thread, " + isa + ", int8 activations");
  EXPECT_EQ(make_backend(3, true)->description(), "cpu, 3 threads, " + isa + ", fp32 activations");
  EXPECT_EQ(make_backend(1)->name(), "cpu");
}

TEST(CpuBackend, AllocatesAligned) {
  Buffer buffer = make_backend(1)->allocate(100);
  EXPECT_EQ(buffer.size_bytes(), 100u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"cannot allocate"},
                         [] { (void)make_backend(1)->allocate(size_t{1} << 62); });
}

TEST(CpuBackend, RefusesActivationsOfAnotherForm) {
  const auto backend = make_backend(1);
  const RandomWeight weight("tq3", 4, 128, 1);
  const std::vector<float> x(128, 1.0f);
  std::vector<float> out(4);
  const Activation plain = backend->prepare({x.data(), 1, 128, 128, 0, InputForm::kPlain, nullptr});
  fixtures::expect_error(ErrorCode::kInternal, {"tq3"}, [&] {
    backend->matmul({weight.view, plain, nullptr, false, out.data()});
  });
}

TEST(CpuBackend, RefusesHeadsBeyondItsScratch) {
  const auto backend = make_backend(1);
  AttentionCase shape{{1}, {1}, 1, 1, 1025, 8};
  PagedBatch batch(shape);
  fixtures::expect_error(ErrorCode::kInternal, {"1025"},
                         [&] { backend->attention(batch.attention_args()); });
}

}  // namespace
}  // namespace tq
