// Whole models of the published widths, with few layers and experts, against fp32 on the CPU.
#include <gtest/gtest.h>

#include "io/synth_checkpoint.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

struct MidSize {
  const char* name;
  Json changes;  // to the published config
};

const std::vector<MidSize>& mid_sizes() {
  static const std::vector<MidSize> models = {
      {"gemma-4-26B-A4B", {{"num_hidden_layers", 6}, {"num_experts", 16}, {"vocab_size", 8192}}},
      {"qwen3-30B-A3B", {{"num_hidden_layers", 4}, {"num_experts", 16}, {"vocab_size", 8192}}},
      {"glm-4.7-flash", {{"num_hidden_layers", 4}, {"n_routed_experts", 12}, {"vocab_size", 8192}}},
      {"qwen3-0.6B", {{"num_hidden_layers", 6}, {"vocab_size", 8192}}},
  };
  return models;
}

// A model on one backend; logits of every token of a prompt, and of tokens decoded one by one.
struct Logits {
  std::vector<float> prompt;
  std::vector<float> decoded;
};
Logits logits_on(std::unique_ptr<Backend> backend, const Checkpoint& checkpoint) {
  constexpr int64_t kPages = 16;
  LoadOptions options{.max_batch_tokens = 64, .max_sequences = 4, .max_context = 128};
  options.format_for = [](const TensorEntry& tensor) {
    return tensor.shape.size() > 1 ? std::string("tq3") : std::string();
  };
  options.encode.effort = Effort::kFast;
  const auto model = Model::load(checkpoint, *backend, options);
  const KvLayout layout = model->kv_layout();
  BlockManager blocks(kPages, layout.recent_blocks, kPages);
  KvCache kv(*backend, layout, KvDType::kF32, kPages, kPages);
  BlockTable table;
  EXPECT_TRUE(blocks.reserve(table, 128));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 56; ++i) tokens.push_back((i * 2654435761u >> 7) % 256);
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

// int8 activations add noise, which in models of random weights sends some tokens to other experts:
// no more of it on the GPU than on the CPU.
TEST_P(GpuMidSize, Int8CostsWhatItDoesOnTheCpu) {
  const Logits exact = on_cpu(true), on_host = on_cpu(false), actual = on_gpu(false);
  const double prompt = rms_difference(on_host.prompt, exact.prompt);
  const double decoded = rms_difference(on_host.decoded, exact.decoded);
  EXPECT_LT(prompt, 0.15);
  EXPECT_LT(rms_difference(actual.prompt, exact.prompt), 1.2 * prompt);
  EXPECT_LT(rms_difference(actual.decoded, exact.decoded), 1.2 * decoded);
}

INSTANTIATE_TEST_SUITE_P(Models, GpuMidSize, ::testing::ValuesIn(mid_sizes()),
                         [](const auto& model) {
                           std::string name;
                           for (const char c : std::string_view(model.param.name)) {
                             if (std::isalnum(static_cast<unsigned char>(c))) name += c;
                           }
                           return name;
                         });

}  // namespace
}  // namespace tq::test
