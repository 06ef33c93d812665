// Model::measure against what loading takes; on a GPU, byte for byte but for the staging buffers.
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

// The checkpoint's own formats, then compressed at load.
class MeasureTest : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(MeasureTest, IsWhatLoadingTakes) {
  const Golden golden(std::get<0>(GetParam()));
  const std::string& format = std::get<1>(GetParam());
  const auto backend = make_backend(false);
  LoadOptions options{.max_batch_tokens = 100,
                      .max_logit_rows = 8,
                      .max_sequences = 8,
                      .max_context = 128,
                      .threads = 1};
  if (!format.empty()) {
    options.format_for = [&](const TensorEntry& entry) {
      return entry.shape.size() > 1 ? format : std::string();
    };
  }
  const int64_t before = backend->memory_used();
  const ModelSize size = Model::measure(*golden.checkpoint, *backend, options);
  EXPECT_EQ(backend->memory_used(), before);
  const auto model = Model::load(*golden.checkpoint, *backend, options);
  EXPECT_EQ(size.kv.layers, model->kv_layout().layers);
  EXPECT_EQ(size.kv.windows, model->kv_layout().windows);
  EXPECT_EQ(size.kv.max_step_tokens, model->kv_layout().max_step_tokens);
  EXPECT_GT(size.scratch_bytes, 0);
  if (backend->on_host()) {
    EXPECT_EQ(size.weight_bytes, model->weight_bytes());
    return;
  }
  const int64_t measured = size.weight_bytes + size.scratch_bytes;
  const int64_t taken = backend->memory_used() - before;
  EXPECT_LE(taken, measured);
  // One for weights that the host has encoded; one for those that the device encodes, which is not
  // kept.
  const int64_t staging = (int64_t{16} << 20) + (format.empty() ? 0 : backend->encoder_bytes());
  EXPECT_LE(measured - taken, staging + (int64_t{1} << 20));
}

INSTANTIATE_TEST_SUITE_P(Goldens, MeasureTest,
                         testing::Combine(testing::Values("llama", "gemma3", "gemma4_e",
                                                          "gemma4_moe", "qwen3_moe",
                                                          "glm4_moe_lite"),
                                          testing::Values("", "tq3")),
                         [](const auto& one) {
                           return std::get<0>(one.param) +
                                  (std::get<1>(one.param).empty() ? "" : "_compressed");
                         });

// The measured size is a bound of what loading takes at any time: with no more allowed it succeeds.
TEST(Measure, IsEnoughToCompressAtLoad) {
  if (make_backend(false)->on_host())
    GTEST_SKIP() << "bounds a GPU's memory: scripts/gpu-test.sh runs it on one";
  for (const char* model : {"llama", "qwen3_moe", "glm4_moe_lite"}) {
    const Golden golden(model);
    LoadOptions options{.max_batch_tokens = 8,
                        .max_logit_rows = 8,
                        .max_sequences = 8,
                        .max_context = 128,
                        .threads = 1};
    options.format_for = [&](const TensorEntry& entry) {
      return entry.shape.size() > 1 ? "tq3" : "";
    };
    const auto probe = make_cuda_backend({});
    const ModelSize size = Model::measure(*golden.checkpoint, *probe, options);
    const int64_t needed = probe->memory_used() + size.weight_bytes + size.scratch_bytes;
    const auto load = [&](int64_t allowed) {
      const auto backend = make_cuda_backend({.memory_bytes = allowed});
      const auto loaded = Model::load(*golden.checkpoint, *backend, options);
      EXPECT_LE(backend->memory_used(), allowed);
    };
    load(needed);
    // The encoder's buffers are the most that is in use, and are counted.
    EXPECT_GE(size.scratch_bytes, probe->encoder_bytes());
    EXPECT_EQ(error_of([&] { load(probe->encoder_bytes()); }).code(), ErrorCode::kOutOfMemory);
  }
}

TEST(Measure, GrowsWithTheStep) {
  const Golden golden("gemma4_moe");
  const auto backend = make_backend(false);
  LoadOptions options{.max_batch_tokens = 64, .max_sequences = 4, .max_context = 128};
  const ModelSize small = Model::measure(*golden.checkpoint, *backend, options);
  options.max_batch_tokens = 128;
  const ModelSize large = Model::measure(*golden.checkpoint, *backend, options);
  EXPECT_EQ(small.weight_bytes, large.weight_bytes);
  EXPECT_GT(large.scratch_bytes, small.scratch_bytes);
}

TEST(Measure, MissesWhatLoadingMisses) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  checkpoint.erase("model.layers.1.self_attn.k_proj.weight");
  const auto backend = make_backend(false);
  const Error error = error_of([&] { Model::measure(checkpoint, *backend, {}); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tq::test
