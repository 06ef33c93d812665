// One decode step of whole models with random weights: the decoder itself, on the CUDA backend as
// a user gets it, and what each of its operators adds to the time of a step.
#include <chrono>
#include <map>
#include <memory>
#include <string_view>

#include "backend/backend.h"
#include "backend/forwarding_backend.h"
#include "bench.h"
#include "io/synth/synth_checkpoint.h"
#include "kv/pages.h"
#include "model/model.h"
#include "session/open.h"

namespace tq::bench {
namespace {

// The GPU's encoder. Weights of a format that it does not write it places as those of tq3 or tq4,
// which have as many bytes: what they are does not matter to a step's time, and the host would take
// minutes.
class StandInEncoder final : public WeightEncoder {
 public:
  explicit StandInEncoder(Backend& gpu) : gpu_(gpu) {}
  WeightView encode(const WeightView& weight, const EncodeSource& source,
                    const EncodeOptions& options) override {
    WeightView written = weight;
    if (!gpu_.encodes(weight.format)) {
      written.format = find_format(fmt::format("tq{}", weight.traits().bits))->id;
    }
    WeightView placed = gpu_.encoder()->encode(written, source, options);
    placed.format = weight.format;
    return placed;
  }
  int64_t finish() override { return gpu_.encoder()->finish(); }

 private:
  Backend& gpu_;
};

// Leaves out one operator of decode steps: what that would have returned it remembers from steps of
// the same size. Which tokens experts get is never left out, as others find their work by it.
class SkippingBackend final : public ForwardingBackend {
 public:
  explicit SkippingBackend(Backend& gpu) : ForwardingBackend(gpu), encoder_(gpu) {}

  bool encodes(FormatId /*format*/) const override { return true; }
  WeightEncoder* encoder() override { return &encoder_; }

  // From now on; empty: none. Each size of a step must have run once with none.
  void skip(std::string_view name) { skipped_ = name; }
  void set_vocab(int64_t n) { vocab_ = n; }  // rows of the head

  void matmul(const MatmulArgs& args) override {
    if (!skips(args.weight.rows == vocab_ ? "head" : "matmul")) inner_.matmul(args);
  }
  void matmul_experts(const ExpertMatmulArgs& args) override {
    if (!skips("matmul_experts")) inner_.matmul_experts(args);
  }
  void matmul_heads(const HeadMatmulArgs& args) override {
    if (!skips("matmul_heads")) inner_.matmul_heads(args);
  }
  void sample(const SampleArgs& args) override {
    if (!skips("sample")) inner_.sample(args);
  }
  void next_inputs(const NextInputsArgs& args) override {
    if (!skips("next_inputs")) inner_.next_inputs(args);
    for (int i = 0; i < args.n_inputs; ++i) remember("next_inputs", args.inputs[i].activation);
  }
  void matmul_shared(std::span<const MatmulArgs> products) override {
    if (!skips("matmul_shared")) inner_.matmul_shared(products);
  }
  void matmul_gated(const GatedMatmulArgs& args) override {
    if (!skips("matmul_gated")) inner_.matmul_gated(args);
  }
  void matmul_gated_experts(const GatedExpertsArgs& args) override {
    if (!skips("matmul_gated_experts")) inner_.matmul_gated_experts(args);
  }
  void route_tokens(const RouterArgs& args) override { inner_.route_tokens(args); }
  Activation prepare(const PrepareArgs& args) override {
    return call("prepare", [&] { return inner_.prepare(args); });
  }
  Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args) override {
    return call("prepare", [&] { return inner_.prepare_normed(norm, args); });
  }
  Activation prepare_strided(const PrepareArgs& args, int64_t stride, float* gathered) override {
    return call("prepare", [&] { return inner_.prepare_strided(args, stride, gathered); });
  }
  Activation attention_prepared(const AttentionInputsArgs& inputs, const AttentionArgs& args,
                                const PrepareArgs& next) override {
    return call("attention", [&] { return inner_.attention_prepared(inputs, args, next); });
  }
  Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                                const PrepareArgs& next) override {
    return call("attention", [&] { return inner_.attention_prepared(inputs, args, next); });
  }

  void run_beside(const std::function<void()>& side, const std::function<void()>& main) override {
    inner_.run_beside(side, main);
  }
  void run_recorded(uint64_t key, const std::function<void()>& operators) override {
    const auto run = [&] {
      step_ = &steps_[key];
      n_results_ = 0;
      operators();
      step_ = nullptr;
    };
    inner_.run_recorded(key ^ std::hash<std::string_view>{}(skipped_), run);
  }

 private:
  bool skips(std::string_view name) const { return step_ != nullptr && name == skipped_; }
  template <typename Call>
  Activation call(std::string_view name, const Call& run) {
    Activation x;
    if (!skips(name)) x = run();
    remember(name, x);
    return x;
  }
  // The next result of the step: kept, or what was kept where the operator was left out.
  void remember(std::string_view name, Activation& x) {
    if (step_ == nullptr) return;
    if (n_results_ == step_->size()) step_->push_back(x);
    if (skips(name)) x = (*step_)[n_results_];
    ++n_results_;
  }

  StandInEncoder encoder_;
  std::string_view skipped_;
  int64_t vocab_ = 0;
  std::map<uint64_t, std::vector<Activation>> steps_;  // results in order, by run_recorded's key
  std::vector<Activation>* step_ = nullptr;            // that is being called
  size_t n_results_ = 0;                               // of it so far
};

constexpr int64_t kSequences = 32;
constexpr int64_t kContext = 256;
constexpr int64_t kPrompt = 192;

// A model whose sequences have all read a prompt.
class LoadedStep {
 public:
  LoadedStep(const char* name, const std::string& format)
      : checkpoint_(open_synth_checkpoint(name)), gpu_(make_cuda_backend({})) {
    LoadOptions options{.max_batch_tokens = kContext,
                        .max_logit_rows = kSequences,
                        .max_sequences = kSequences,
                        .max_context = kContext};
    options.format_for = formats_at_load(*checkpoint_, make_plan(*checkpoint_, {.format = format}));
    options.encode.effort = Effort::kFast;
    model_ = Model::load(*checkpoint_, backend_, options);
    backend_.set_vocab(model_->spec().vocab);
    const KvLayout layout = model_->kv_layout();
    const auto n_pages = layout.pages_of(kSequences, kSequences * kContext / kKvBlockTokens);
    pages_ = std::make_unique<Pages>(layout.windows, n_pages);
    kv_ = std::make_unique<KvCache>(backend_, layout, default_kv_format(), n_pages);
    for (int32_t& id : ids_) id = next_id();
    for (PageTable& table : tables_) {
      std::vector<int32_t> prompt;
      for (int64_t i = 0; i < kPrompt; ++i) prompt.push_back(next_id());
      if (!pages_->grow(table, kPrompt + 1)) fail(ErrorCode::kInternal, "bench: too few pages");
      const BatchSequence sequence{prompt, 0, &table, 0};
      model_->forward({&sequence, 1}, *kv_, {});
    }
  }

  // Microseconds of a step in which as many sequences decode a token each, the same every time.
  double time_us(int64_t n_sequences, std::string_view skipped) {
    backend_.skip(skipped);
    std::vector<BatchSequence> batch;
    for (int64_t i = 0; i < n_sequences; ++i) {
      const auto at = static_cast<size_t>(i);
      batch.push_back({{&ids_[at], 1}, kPrompt, &tables_[at], 1});
    }
    const std::vector<SampleRow> greedy(batch.size());
    std::vector<int32_t> tokens(batch.size());
    std::vector<double> times;
    constexpr int kWarmUp = 3, kSteps = 21;
    for (int i = 0; i < kWarmUp + kSteps; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      model_->next_tokens(batch, *kv_, {model_->spec().vocab, greedy, {}}, tokens);
      const std::chrono::duration<double, std::micro> time =
          std::chrono::steady_clock::now() - begin;
      if (i >= kWarmUp) times.push_back(time.count());
    }
    std::nth_element(times.begin(), times.begin() + kSteps / 2, times.end());
    return times[kSteps / 2];
  }

 private:
  int32_t next_id() { return static_cast<int32_t>(random_() % model_->spec().vocab); }

  std::mt19937 random_{1};
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Backend> gpu_;
  SkippingBackend backend_{*gpu_};
  std::unique_ptr<Model> model_;
  std::unique_ptr<Pages> pages_;
  std::unique_ptr<KvCache> kv_;
  std::array<PageTable, kSequences> tables_;
  std::array<int32_t, kSequences> ids_;
};

}  // namespace

void bench_steps(Bench& bench, const std::string& format) {
  for (const char* model : {"gemma-4-26B-A4B", "qwen3-30B-A3B", "glm-4.7-flash"}) {
    std::unique_ptr<LoadedStep> step;  // with the first line that is wanted
    for (const int64_t seqs : {1, 2, 4, 8, 16, 32}) {
      const std::string name = fmt::format("{} step {} C={}:", format, model, seqs);
      if (!bench.wants(name)) continue;
      if (step == nullptr) step = std::make_unique<LoadedStep>(model, format);
      const double us = step->time_us(seqs, "");
      std::printf("%s %.0f us: %.0f tokens/s\n", name.c_str(), us,
                  static_cast<double>(seqs) / us * 1e6);
      for (const char* part :
           {"next_inputs", "prepare", "attention", "matmul", "matmul_shared", "matmul_heads",
            "matmul_gated", "matmul_gated_experts", "matmul_experts", "head", "sample"}) {
        std::printf("  %-22s %6.0f us\n", part, us - step->time_us(seqs, part));
      }
      std::fflush(stdout);
    }
  }
}

}  // namespace tq::bench
