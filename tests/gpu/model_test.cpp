// Whole models of the published widths, with few layers and experts, against fp32 on the CPU.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <thread>

#include "gpu_testing.h"
#include "io/synth/synth_checkpoint.h"
#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

struct MidSize {
  const char* name;
  Json changes;  // to the published config
};

constexpr size_t kVocab = 8192;

const std::vector<MidSize>& mid_sizes() {
  static const std::vector<MidSize> models = {
      {"gemma-4-26B-A4B", {{"num_hidden_layers", 6}, {"num_experts", 16}, {"vocab_size", kVocab}}},
      {"qwen3-30B-A3B", {{"num_hidden_layers", 4}, {"num_experts", 16}, {"vocab_size", kVocab}}},
      {"glm-4.7-flash",
       {{"num_hidden_layers", 4}, {"n_routed_experts", 12}, {"vocab_size", kVocab}}},
      {"qwen3-0.6B", {{"num_hidden_layers", 6}, {"vocab_size", kVocab}}},
  };
  return models;
}

// Models with layers that keep a state.
const std::vector<MidSize>& state_models() {
  static const std::vector<MidSize> models = {
      {"qwen3.6-35B-A3B", {{"num_hidden_layers", 4}, {"num_experts", 16}, {"vocab_size", kVocab}}},
      {"qwen3.6-27B", {{"num_hidden_layers", 4}, {"vocab_size", kVocab}}},
      {"qwen3.5-0.8B", {{"num_hidden_layers", 6}, {"vocab_size", kVocab}}},
  };
  return models;
}

// A model on one backend; logits of every token of a prompt, and of tokens decoded one by one.
struct Logits {
  std::vector<float> prompt;
  std::vector<float> decoded;
};
Logits logits_on(std::unique_ptr<Backend> backend, const Checkpoint& checkpoint,
                 const KvOptions& kv_options = {.format = fixtures::kKvF32}) {
  constexpr int64_t kPages = 16;
  LoadOptions options{.max_batch_tokens = 64, .max_sequences = 4, .max_context = 128};
  options.kv = kv_options;
  options.format_for = as_tq3;
  options.encode.effort = Effort::kFast;
  const auto model = Model::load(checkpoint, *backend, options);
  const KvLayout layout = model->kv_layout();
  const std::vector<int64_t> n_pages(layout.windows.size(), kPages);
  Pages pages(layout.windows, n_pages, {}, layout.states());
  KvCache kv(*backend, layout, kv_options.format, n_pages);
  PageTable table;
  EXPECT_TRUE(pages.grow(table, 128));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 56; ++i)
    tokens.push_back((i * 2654435761u >> 7) % std::min<int64_t>(256, model->spec().vocab));
  const auto run = [&](int64_t begin, int64_t n) {
    std::vector<float> logits(static_cast<size_t>(n * model->spec().vocab));
    const auto ids = std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    const BatchSequence sequence{ids, begin, &table, n};
    model->forward({&sequence, 1}, kv, logits);
    return logits;
  };
  Logits out{run(0, 48), {}};
  for (int64_t i = 48; i < 56; ++i) {
    const std::vector<float> row = run(i, 1);
    out.decoded.insert(out.decoded.end(), row.begin(), row.end());
  }
  return out;
}

class GpuMidSize : public ::testing::TestWithParam<MidSize> {
 protected:
  std::unique_ptr<Checkpoint> checkpoint_ =
      open_synth_checkpoint(make_synth_model(GetParam().name, GetParam().changes));
  Logits on_cpu(bool exact) const {
    return logits_on(make_cpu_backend({.exact = exact}), *checkpoint_);
  }
  Logits on_gpu(bool exact) const {
    return logits_on(make_cuda_backend({.exact = exact}), *checkpoint_);
  }
};

TEST_P(GpuMidSize, ExactEqualsTheCpu) {
  const Logits actual = on_gpu(true), expected = on_cpu(true);
  EXPECT_LT(rms_difference(actual.prompt, expected.prompt), 2e-5);
  EXPECT_LT(rms_difference(actual.decoded, expected.decoded), 2e-5);
}

// Caches of codes, of models with heads of all sizes and biases of keys. Where a rounding turns out
// the other way (f16's of the near pages, which hold another basis) a number gets the next
// centroid: that is more than fp32's error.
TEST(GpuCompressedCaches, EqualTheCpus) {
  std::vector<std::pair<std::string, std::unique_ptr<Checkpoint>>> models;
  for (const size_t i : {0, 1, 3}) {
    const MidSize& model = mid_sizes()[i];
    models.emplace_back(model.name,
                        open_synth_checkpoint(make_synth_model(model.name, model.changes)));
  }
  for (const char* golden : {"llama_bias_rope3", "gemma3"}) {
    models.emplace_back(golden, open_checkpoint(golden_path(golden)));
  }
  for (const auto& [name, checkpoint] : models) {
    for (const char* format : {"k8v8", "k4v3"}) {
      for (const int64_t tail : {0, 20}) {
        SCOPED_TRACE(fmt::format("{}, {}, tail {}", name, format, tail));
        const KvOptions kv{find_kv_format(format)->id, tail > 0 ? 4 : 0, tail};
        const Logits expected = logits_on(make_cpu_backend({.exact = true}), *checkpoint, kv);
        const double most = std::string_view(format) == "k8v8" ? 5e-3 : 5e-2;
        for (const bool invariant : {true, false}) {
          const Logits actual = logits_on(
              make_cuda_backend({.exact = true, .batch_invariant = invariant}), *checkpoint, kv);
          EXPECT_LT(rms_difference(actual.prompt, expected.prompt), most) << invariant;
          EXPECT_LT(rms_difference(actual.decoded, expected.decoded), most) << invariant;
        }
      }
    }
  }
}

// int8 activations add noise, no more of it on the GPU than on the CPU. A row in which two experts
// score so alike that the noise decides is off by what they differ: so medians are compared.
TEST_P(GpuMidSize, Int8CostsWhatItDoesOnTheCpu) {
  const Logits exact = on_cpu(true), on_host = on_cpu(false), actual = on_gpu(false);
  constexpr double kMost = 0.05;
  const auto median = [](const std::vector<float>& a, const std::vector<float>& e) {
    const std::vector<double> rows = row_differences(a, e, kVocab);
    return rows[rows.size() / 2];
  };
  EXPECT_LT(rms_difference(on_host.prompt, exact.prompt), kMost);
  EXPECT_LT(rms_difference(actual.prompt, exact.prompt), kMost);
  EXPECT_LT(rms_difference(actual.decoded, exact.decoded), kMost);
  EXPECT_LT(median(actual.prompt, exact.prompt), 1.2 * median(on_host.prompt, exact.prompt));
}

// Sequences of a model on a batch-invariant backend, with their prompts in a 16-bit cache.
class Batches {
 public:
  static constexpr int64_t kSeqs = 17;
  static constexpr int64_t kContext = 512;

  explicit Batches(const Checkpoint& checkpoint)
      : backend_(make_cuda_backend({.batch_invariant = true})) {
    LoadOptions options{.max_batch_tokens = 640, .max_sequences = kSeqs, .max_context = kContext};
    options.format_for = as_tq3;
    options.encode.effort = Effort::kFast;
    model_ = Model::load(checkpoint, *backend_, options);
    const KvLayout layout = model_->kv_layout();
    const std::vector<int64_t> n_pages(layout.windows.size(), kSeqs * kContext / kKvBlockTokens);
    pages_.emplace(layout.windows, n_pages, NearPages{}, layout.states());
    kv_ = std::make_unique<KvCache>(*backend_, layout, fixtures::kKvF16, n_pages);
    for (int64_t i = 0; i < kSeqs; ++i) {
      // The last of them is longer than the others' steps are laid out for.
      const int64_t n = i == kSeqs - 1 ? 400 : 3 + 14 * i;
      for (int64_t t = 0; t < n; ++t)
        tokens_[i].push_back(static_cast<int32_t>((t * 37 + i) % 256));
      EXPECT_TRUE(pages_->grow(tables_[i], kContext));
    }
  }

  // The logits of the first one's last prompt token, its prompt run with the next n - 1.
  std::vector<float> prefill(int64_t n) {
    std::vector<BatchSequence> batch;
    for (int64_t i = 0; i < n; ++i) batch.push_back({tokens_[i], 0, &tables_[i], i == 0 ? 1 : 0});
    return run(batch, 1);
  }
  // The logits of the longest one's last prompt token, its first n tokens run before the others: as
  // a sequence goes on that shares their pages.
  std::vector<float> prefill_after(int64_t n) {
    const std::span<const int32_t> tokens = tokens_[kSeqs - 1];
    const PageTable* table = &tables_[kSeqs - 1];
    if (n > 0) run({{tokens.first(static_cast<size_t>(n)), 0, table, 0}}, 0);
    return run({{tokens.subspan(static_cast<size_t>(n)), n, table, 1}}, 1);
  }
  void prefill_alone(int64_t i) { run({{tokens_[i], 0, &tables_[i], 1}}, 1); }
  // A token decoded by the first, with n - 1 others, of which one may be the longest.
  std::vector<float> decode(int64_t n, bool with_longest) {
    static constexpr int32_t kToken[] = {65};
    std::vector<BatchSequence> batch;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = with_longest && i == n - 1 ? kSeqs - 1 : i;
      const auto length = static_cast<int64_t>(tokens_[at].size());
      batch.push_back({kToken, length, &tables_[at], 1});
    }
    return run(batch, n);
  }

 private:
  std::vector<float> run(const std::vector<BatchSequence>& batch, int64_t rows) {
    const auto vocab = static_cast<size_t>(model_->spec().vocab);
    std::vector<float> logits(static_cast<size_t>(rows) * vocab);
    model_->forward(batch, *kv_, logits);
    logits.resize(vocab);  // of the first
    return logits;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  std::optional<Pages> pages_;
  std::vector<int32_t> tokens_[kSeqs];
  PageTable tables_[kSeqs];
};

TEST_P(GpuMidSize, BitsDoNotDependOnTheBatch) {
  Batches batches(*checkpoint_);
  const std::vector<float> prompt = batches.prefill(1);
  for (const int64_t n : {2, 6}) {
    EXPECT_EQ(batches.prefill(n), prompt) << n << " prompts";
  }
  for (int64_t first = 6; first < Batches::kSeqs; ++first) batches.prefill_alone(first);
  const std::vector<float> alone = batches.decode(1, false);
  for (const int64_t n : {1, 2, 4, 5, 8, 9, 17}) {
    for (const bool with_longest : {false, true}) {
      if (with_longest && n == 1) continue;
      // As it comes, as it is recorded and as it is replayed.
      for (int repetition = 0; repetition < 3; ++repetition) {
        EXPECT_EQ(batches.decode(n, with_longest), alone) << n << " sequences, " << repetition;
      }
    }
  }
}

TEST_P(GpuMidSize, SharedPagesGiveTheSameBits) {
  Batches batches(*checkpoint_);
  const std::vector<float> whole = batches.prefill_after(0);
  for (const int64_t n : {16, 48, 256, 368, 399}) {
    EXPECT_EQ(batches.prefill_after(n), whole) << "after " << n << " tokens";
  }
}

class GpuStates : public GpuMidSize {};

TEST_P(GpuStates, EqualTheCpu) {
  const Logits exact = on_cpu(true), actual = on_gpu(true);
  EXPECT_LT(rms_difference(actual.prompt, exact.prompt), 2e-5);
  EXPECT_LT(rms_difference(actual.decoded, exact.decoded), 2e-5);
  const Logits quantized = on_gpu(false);
  EXPECT_LT(rms_difference(quantized.prompt, exact.prompt), 0.05);
  EXPECT_LT(rms_difference(quantized.decoded, exact.decoded), 0.05);
}

// A step moves the states on, so each decode follows prompts of its own: as it comes, as it is
// recorded and as it is replayed.
TEST_P(GpuStates, BitsDoNotDependOnTheBatch) {
  Batches batches(*checkpoint_);
  const std::vector<float> prompt = batches.prefill(1);
  const std::vector<float> alone = batches.decode(1, false);
  for (const int64_t n : {1, 2, 6}) {
    for (int repetition = 0; repetition < 3; ++repetition) {
      EXPECT_EQ(batches.prefill(n), prompt) << n << " prompts";
      EXPECT_EQ(batches.decode(n, false), alone) << n << " sequences, " << repetition;
    }
  }
}

TEST_P(GpuStates, BitsDoNotDependOnWherePromptsAreCut) {
  Batches batches(*checkpoint_);
  const std::vector<float> whole = batches.prefill_after(0);
  for (const int64_t n : {1, 2, 16, 48, 256, 399}) {
    EXPECT_EQ(batches.prefill_after(n), whole) << "after " << n << " tokens";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuStates, ::testing::ValuesIn(state_models()),
                         [](const auto& model) {
                           std::string name;
                           for (const char c : std::string_view(model.param.name)) {
                             if (std::isalnum(static_cast<unsigned char>(c))) name += c;
                           }
                           return name;
                         });

INSTANTIATE_TEST_SUITE_P(Models, GpuMidSize, ::testing::ValuesIn(mid_sizes()),
                         [](const auto& model) {
                           std::string name;
                           for (const char c : std::string_view(model.param.name)) {
                             if (std::isalnum(static_cast<unsigned char>(c))) name += c;
                           }
                           return name;
                         });

// Of any GPU, though a thread begins with the first one.
TEST(GpuThreads, AnotherThreadMayDriveADevice) {
  const auto checkpoint =
      open_synth_checkpoint(make_synth_model(mid_sizes()[3].name, mid_sizes()[3].changes));
  const Logits expected = logits_on(make_cuda_backend({}), *checkpoint);
  int n_devices = 0;
  fixtures::cuda_check(cudaGetDeviceCount(&n_devices));
  for (int device = 0; device < n_devices; ++device) {
    auto backend = make_cuda_backend({.device = device});
    Logits got;
    std::thread([&] {
      backend->attach_thread();
      got = logits_on(std::move(backend), *checkpoint);
    }).join();
    EXPECT_EQ(got.prompt, expected.prompt) << "device " << device;
    EXPECT_EQ(got.decoded, expected.decoded) << "device " << device;
  }
  fixtures::cuda_check(cudaSetDevice(0));
}

}  // namespace
}  // namespace tq::test
