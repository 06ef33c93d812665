// Models of the published sizes, whole, against the CPU: a prompt, one that is longer than the
// sliding windows, and decode steps of one and of several sequences.
// Needs up to 60 GB of host and 40 GB of GPU memory and minutes: TQ_TEST_FULL_SIZE=1.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>

#include "base/env.h"
#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

constexpr int64_t kSteps = 32;  // tokens decoded after a prompt
constexpr int64_t kPrompt = 48;
constexpr int64_t kLong = 1152;  // more than the windows of Gemma 4
constexpr int64_t kSequences = 4;
constexpr int64_t kContext = 1280;

int32_t token_at(int64_t sequence, int64_t i) {
  return static_cast<int32_t>((static_cast<uint64_t>(i + 1000 * sequence) * 2654435761u >> 7) %
                              256);
}

// What a run gives, in the order of the calls.
struct RunLogits {
  std::vector<float> prompt;   // of all its tokens
  std::vector<float> windows;  // of the long prompt's last token
  std::vector<float> one;      // of the steps of one sequence
  std::vector<float> four;     // and of four
};

class LoadedModelOn {
 public:
  LoadedModelOn(const Checkpoint& checkpoint, std::unique_ptr<Backend> backend)
      : backend_(std::move(backend)) {
    LoadOptions options{.max_batch_tokens = 256,
                        .max_logit_rows = kPrompt,
                        .max_sequences = kSequences,
                        .max_context = kContext};
    options.format_for = as_tq3;
    options.encode.effort = Effort::kFast;
    model_ = Model::load(checkpoint, *backend_, options);
  }

  RunLogits run(KvFormatId kv) {
    const KvLayout layout = model_->kv_layout();
    const auto n_pages = layout.pages_of(kSequences, kSequences * kContext / kKvBlockTokens);
    Pages pages(layout.windows, n_pages);
    KvCache cache(*backend_, layout, kv, n_pages);
    RunLogits out;
    {
      PageTable table;
      for (int64_t at = 0; at < kLong; at += 256) {
        const int64_t n = std::min<int64_t>(256, kLong - at);
        out.windows = forward(pages, cache, {{ids(0, at, n), at, &table, at + n == kLong ? 1 : 0}});
      }
      pages.release(table);
    }
    PageTable tables[kSequences];
    for (int64_t s = 0; s < kSequences; ++s) {
      const int64_t n = kPrompt - 7 * s;
      auto logits = forward(pages, cache, {{ids(s, 0, n), 0, &tables[s], s == 0 ? n : 1}});
      if (s == 0) out.prompt = std::move(logits);
    }
    for (int64_t step = 0; step < kSteps; ++step) {
      std::vector<Part> batch;
      for (int64_t s = 0; s < kSequences; ++s) {
        const int64_t at = kPrompt - 7 * s + step;
        batch.push_back({ids(s, at, 1), at, &tables[s], 1});
      }
      append(out.four, forward(pages, cache, batch));
    }
    for (int64_t step = kSteps; step < 2 * kSteps; ++step) {
      const int64_t at = kPrompt + step;
      append(out.one, forward(pages, cache, {{ids(0, at, 1), at, &tables[0], 1}}));
    }
    return out;
  }

 private:
  struct Part {
    std::vector<int32_t> tokens;
    int64_t begin;
    PageTable* table;
    int64_t logit_rows;
  };

  static std::vector<int32_t> ids(int64_t sequence, int64_t at, int64_t n) {
    std::vector<int32_t> tokens;
    for (int64_t i = at; i < at + n; ++i) tokens.push_back(token_at(sequence, i));
    return tokens;
  }
  static void append(std::vector<float>& to, const std::vector<float>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }
  std::vector<float> forward(Pages& pages, KvCache& cache, const std::vector<Part>& parts) {
    std::vector<BatchSequence> batch;
    int64_t rows = 0;
    for (const Part& part : parts) {
      pages.slide(*part.table, part.begin);
      EXPECT_TRUE(pages.grow(*part.table, part.begin + static_cast<int64_t>(part.tokens.size())));
      batch.push_back({part.tokens, part.begin, part.table, part.logit_rows});
      rows += part.logit_rows;
    }
    std::vector<float> logits(static_cast<size_t>(rows * model_->spec().vocab));
    model_->forward(batch, cache, logits);
    return logits;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
};

class GpuFullSize : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (env_or("TQ_TEST_FULL_SIZE", "").empty()) {
      GTEST_SKIP() << "takes 5 minutes and 60 GB: scripts/gpu-test.sh sets TQ_TEST_FULL_SIZE=1";
    }
  }
};

// The median row is within `typical`, all together within `bound`: where two experts score alike,
// rounding decides which is taken, and a row is off by what the two differ.
struct Bounds {
  double typical, bound;
};
void expect_close(const char* what, const RunLogits& actual, const RunLogits& expected,
                  size_t vocab, Bounds bounds) {
  const auto expect = [&](const char* part, const std::vector<float>& a,
                          const std::vector<float>& e) {
    ASSERT_EQ(a.size(), e.size());
    const std::vector<double> rows = row_differences(a, e, vocab);
    const double all = rms_difference(a, e), median = rows[rows.size() / 2];
    std::printf("%s, %s: median row %.2g, all %.2g\n", what, part, median, all);
    EXPECT_LT(median, bounds.typical) << what << ", " << part;
    EXPECT_LT(all, bounds.bound) << what << ", " << part;
  };
  expect("prompt", actual.prompt, expected.prompt);
  expect("past the windows", actual.windows, expected.windows);
  expect("C=1", actual.one, expected.one);
  expect("C=4", actual.four, expected.four);
}

TEST_P(GpuFullSize, EqualsTheCpu) {
  const auto checkpoint = open_checkpoint(GetParam());
  const RunLogits exact =
      LoadedModelOn(*checkpoint, make_cpu_backend({.exact = true})).run(fixtures::kKvF32);
  const RunLogits on_gpu =
      LoadedModelOn(*checkpoint, make_cuda_backend({.exact = true})).run(fixtures::kKvF32);
  const size_t vocab = exact.windows.size();  // a row
  expect_close("GPU exact against CPU exact", on_gpu, exact, vocab, {1e-4, 0.02});
  // What users run: int8 activations and a 16-bit cache cost no more than they do on the CPU.
  const RunLogits fast = LoadedModelOn(*checkpoint, make_cpu_backend({})).run(fixtures::kKvF16);
  expect_close("CPU int8 against CPU exact", fast, exact, vocab, {0.05, 0.05});
  const RunLogits auto_on_gpu =
      LoadedModelOn(*checkpoint, make_cuda_backend({})).run(fixtures::kKvF16);
  expect_close("GPU int8 against CPU exact", auto_on_gpu, exact, vocab, {0.05, 0.05});
}

INSTANTIATE_TEST_SUITE_P(Models, GpuFullSize,
                         ::testing::Values("synth:gemma-4-26B-A4B", "synth:qwen3-30B-A3B",
                                           "synth:glm-4.7-flash"),
                         [](const auto& model) {
                           std::string name;
                           for (const char c : std::string_view(model.param)) {
                             if (std::isalnum(static_cast<unsigned char>(c))) name += c;
                           }
                           return name;
                         });

}  // namespace
}  // namespace tq::test
