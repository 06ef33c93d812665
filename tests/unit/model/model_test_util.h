// Shared by the model tests: golden checkpoints, checkpoints in memory that tests can bend, and a
// model with its KV cache that runs sequences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/error.h"
#include "base/npy.h"
#include "io/checkpoint.h"
#include "kv/pages.h"
#include "model/model.h"
#include "support/kv_formats.h"

namespace tq::test {

inline fs::path golden_path(const std::string& name) {
  return fs::path(env_or("TQ_TEST_DATA", TQ_TEST_DATA)) / "golden/models" / name;
}

struct Golden {
  explicit Golden(const std::string& name) : checkpoint(open_checkpoint(golden_path(name))) {
    for (const int64_t id : read_npy_int(golden_path(name) / "tokens.npy").values) {
      tokens.push_back(static_cast<int32_t>(id));
    }
    logits = read_npy_f32(golden_path(name) / "logits.npy").values;
    logits_cached = read_npy_f32(golden_path(name) / "logits_cached.npy").values;
  }

  std::unique_ptr<Checkpoint> checkpoint;
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // [tokens, vocab], one full pass in transformers
  std::vector<float> logits_cached;
};

// An fp32 checkpoint in memory, at first a copy of another one.
class MemoryCheckpoint : public Checkpoint {
 public:
  struct Tensor {
    std::string name;
    Shape shape;
    std::vector<float> values;
  };

  explicit MemoryCheckpoint(const Checkpoint& source)
      : Checkpoint(CheckpointKind::kHuggingFace, "memory") {
    config_ = source.config();
    for (const TensorEntry& entry : source.tensors()) {
      Tensor tensor{entry.name, entry.shape,
                    std::vector<float>(static_cast<size_t>(entry.n_elements()))};
      source.read_rows(entry, 0, entry.n_rows(), tensor.values.data());
      tensors_.push_back(std::move(tensor));
    }
    reindex();
  }

  using Checkpoint::settle_head;  // as open_checkpoint does
  Json& config() { return config_; }
  std::vector<Tensor>& contents() { return tensors_; }
  Tensor& tensor(const std::string& name) {
    return *std::find_if(tensors_.begin(), tensors_.end(),
                         [&](const Tensor& tensor) { return tensor.name == name; });
  }
  void erase(const std::string& name) {
    tensors_.erase(tensors_.begin() + (&tensor(name) - tensors_.data()));
    reindex();
  }
  // To be called after a change of names, shapes or number of tensors.
  void reindex() {
    std::vector<TensorEntry> entries;
    for (const Tensor& tensor : tensors_) {
      const auto bytes = static_cast<int64_t>(tensor.values.size() * sizeof(float));
      entries.push_back({tensor.name, tensor.shape, "f32", DType::kF32, bytes});
    }
    set_tensors(std::move(entries));
  }

  std::vector<std::string> text_files() const override { return {}; }
  std::optional<std::string> text_file(std::string_view) const override { return std::nullopt; }
  void read_rows(const TensorEntry& entry, int64_t begin, int64_t n, float* out) const override {
    const auto& values = tensors_[static_cast<size_t>(entry.index)].values;
    std::copy_n(values.begin() + begin * entry.in(), n * entry.in(), out);
  }
  std::optional<WeightView> view(const TensorEntry&) const override { return std::nullopt; }
  std::span<const uint8_t> raw(const TensorEntry& entry) const override {
    const auto& values = tensors_[static_cast<size_t>(entry.index)].values;
    return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)};
  }
  void drop_rows(const TensorEntry&, int64_t, int64_t) const override {}
  std::vector<fs::path> files() const override { return {}; }

 private:
  std::vector<Tensor> tensors_;
};

// The same tests on a GPU, where there is one, and with one tier of its kernels.
inline std::string forced_kernels() {
  return env_or("TQ_TEST_DEVICE", "cpu") == "cuda" ? env_or("TQ_TEST_KERNELS", "auto") : "auto";
}

inline std::unique_ptr<Backend> make_backend(bool exact) {
  if (env_or("TQ_TEST_DEVICE", "cpu") == "cuda") {
    return make_cuda_backend({.exact = exact, .kernels = forced_kernels()});
  }
  return make_cpu_backend({.threads = 2, .exact = exact});
}

// What the device under test computes of these goldens: a GPU has no attention with sinks.
inline std::vector<const char*> on_this_device(std::vector<const char*> models) {
  if (env_or("TQ_TEST_DEVICE", "cpu") != "cpu") {
    std::erase_if(models, [](std::string_view name) { return name.starts_with("gpt_oss"); });
  }
  return models;
}

// A model on its own backend with a cache of 64 pages in each group.
class Runner {
 public:
  explicit Runner(const Checkpoint& checkpoint, bool exact = true, LoadOptions options = {})
      : backend_(make_backend(exact)) {
    options.threads = 2;
    options.max_context = 128;
    options.max_sequences = 8;
    options.max_batch_tokens = std::min<int64_t>(options.max_batch_tokens, 100);
    model_ = Model::load(checkpoint, *backend_, options);
    const KvLayout layout = model_->kv_layout();
    const std::vector<int64_t> n_pages(layout.windows.size(), 64);
    pages_.emplace(layout.windows, n_pages, layout.near_pages(), layout.states());
    const KvFormatId format = options.kv.is_compressed() ? options.kv.format : fixtures::kKvF32;
    kv_ = std::make_unique<KvCache>(*backend_, layout, format, n_pages);
  }

  Model& model() { return *model_; }
  KvCache& kv() { return *kv_; }
  Pages& pages() { return *pages_; }
  // These pages in every group; of states the first.
  PageTable table(const std::vector<PageId>& pages) const {
    PageTable table;
    const KvLayout layout = model_->kv_layout();
    for (size_t g = 0; g < layout.windows.size(); ++g) {
      const bool is_state = g > 0 && g == layout.states();
      table.groups.push_back({is_state ? std::vector<PageId>{pages[0]} : pages});
    }
    return table;
  }

  std::vector<float> forward(Batch batch) {
    int64_t rows = 0;
    for (const BatchSequence& sequence : batch) rows += sequence.n_logits;
    std::vector<float> logits(static_cast<size_t>(rows * model_->spec().vocab));
    model_->forward(batch, *kv_, logits);
    return logits;
  }

  // Logits of every token of a fresh sequence, run in pieces of the given sizes (the rest at once).
  std::vector<float> run(std::span<const int32_t> tokens, const std::vector<int64_t>& pieces = {}) {
    PageTable table;
    std::vector<float> all = run_on(table, 0, tokens, pieces);
    pages_->release(table);
    return all;
  }
  // The same for a sequence that has a table, from the token at `done` on.
  std::vector<float> run_on(PageTable& table, int64_t done, std::span<const int32_t> tokens,
                            const std::vector<int64_t>& pieces = {}) {
    std::vector<float> all;
    const auto step = [&](int64_t n) {
      if (n == 0) return;
      pages_->slide(table, done);
      EXPECT_TRUE(pages_->grow(table, done + n));
      const auto ids = tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(n));
      const BatchSequence sequence{ids, done, &table, n};
      const std::vector<float> logits = forward({&sequence, 1});
      all.insert(all.end(), logits.begin(), logits.end());
      done += n;
    };
    for (const int64_t n : pieces) step(n);
    step(static_cast<int64_t>(tokens.size()) - done);
    return all;
  }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  std::optional<Pages> pages_;
};

// LoadOptions::format_for: every matrix as tq3.
inline std::string as_tq3(const TensorEntry& tensor) {
  return tensor.shape.size() > 1 ? "tq3" : "";
}

// What logits may differ from those of transformers by.
constexpr double kTolerance = 1e-4;

// Largest absolute difference over the largest absolute value expected.
inline double relative_difference(std::span<const float> actual, std::span<const float> expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double difference = 0;
  double scale = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    // Not std::max: a NaN must not pass.
    const double error = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (!(error <= difference)) difference = error;
    scale = std::max(scale, std::fabs(static_cast<double>(expected[i])));
  }
  return difference / scale;
}

// Root mean square of the difference over that of what was expected.
inline double rms_difference(std::span<const float> actual, std::span<const float> expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    const double error = static_cast<double>(actual[i]) - expected[i];
    difference += error * error;
    norm += static_cast<double>(expected[i]) * expected[i];
  }
  return std::sqrt(difference / norm);
}

// rms_difference() of every row, ascending.
inline std::vector<double> row_differences(const std::vector<float>& actual,
                                           const std::vector<float>& expected, size_t vocab) {
  std::vector<double> rows;
  for (size_t at = 0; at < expected.size(); at += vocab) {
    rows.push_back(rms_difference(std::span(actual).subspan(at, vocab),
                                  std::span(expected).subspan(at, vocab)));
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Runs a function that must throw and hands back the error.
inline Error error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return {ErrorCode::kInternal, "none"};
}

}  // namespace tq::test
