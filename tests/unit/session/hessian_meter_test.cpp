// The Hessians of a model's linears: those of the inputs that products have, however little memory
// there is for them.
#include "session/hessian_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "base/error.h"
#include "convert/convert.h"
#include "model/model.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

constexpr int64_t kMeterWindow = 24;
constexpr int64_t kMeterTokens = 5 * kMeterWindow;

std::unique_ptr<Checkpoint> golden(const char* name) {
  return open_checkpoint(fs::path(TQ_TEST_DATA "/golden/models") / name);
}

HessianMeterOptions meter_options(int64_t memory, int n_threads = 2) {
  HessianMeterOptions options;
  for (int64_t i = 0; i < kMeterTokens; ++i) {
    options.text.ids.push_back(static_cast<int32_t>(i * 29 % 61));
  }
  options.window = kMeterWindow;
  options.memory_bytes = memory;
  options.n_threads = n_threads;
  return options;
}

std::vector<std::string> names_of(const Checkpoint& source) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : source.tensors()) names.push_back(tensor.name);
  return names;
}

using AllParts = std::map<std::string, std::vector<HessianPart>>;

AllParts all_parts(const Checkpoint& source, int64_t memory, int n_threads = 2) {
  HessianMeter meter(source, meter_options(memory, n_threads));
  meter.announce(names_of(source));
  AllParts parts;
  for (const TensorEntry& tensor : source.tensors()) parts[tensor.name] = meter.parts(tensor);
  return parts;
}

class HessianMeterTest : public ::testing::TestWithParam<const char*> {};

// All rows of each tensor are covered, and of the linears of layers all are known.
TEST_P(HessianMeterTest, KnowsTheLinears) {
  const auto source = golden(GetParam());
  int64_t n_known = 0;
  for (const auto& [name, parts] : all_parts(*source, int64_t{1} << 30)) {
    const TensorEntry& tensor = *source->find(name);
    int64_t row = 0;
    for (const HessianPart& part : parts) {
      ASSERT_EQ(part.row_begin, row) << name;
      ASSERT_GT(part.row_end, row) << name;
      row = part.row_end;
      if (part.hessian == nullptr) continue;
      ++n_known;
      ASSERT_EQ(part.hessian->in, tensor.in()) << name;
      ASSERT_GT(part.hessian->n_inputs, 0) << name;
      for (int64_t i = 0; i < tensor.in(); ++i) {
        ASSERT_GE(part.hessian->values[static_cast<size_t>(i * (tensor.in() + 1))], 0) << name;
      }
    }
    EXPECT_EQ(row, tensor.n_rows()) << name;
    const bool linear = name.find("layers.") != std::string::npos && tensor.shape.size() > 1 &&
                        name.find("proj") != std::string::npos &&
                        name.find("kv_b_proj") == std::string::npos &&  // absorbed by MLA
                        name.find("experts.") == std::string::npos &&   // some get no token
                        name.find("per_layer") == std::string::npos;
    EXPECT_TRUE(!linear || parts[0].hessian != nullptr) << name;
  }
  EXPECT_GT(n_known, 0);
}

TEST_P(HessianMeterTest, MemoryAndThreadsChangeNothing) {
  const auto source = golden(GetParam());
  const AllParts expected = all_parts(*source, int64_t{1} << 30);
  for (const auto& [memory, threads] : {std::pair{int64_t{0}, 2}, {int64_t{40'000}, 1}}) {
    const AllParts parts = all_parts(*source, memory, threads);
    for (const auto& [name, wanted] : expected) {
      const std::vector<HessianPart>& found = parts.at(name);
      ASSERT_EQ(found.size(), wanted.size()) << name;
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_EQ(found[i].row_begin, wanted[i].row_begin) << name;
        ASSERT_EQ(found[i].hessian == nullptr, wanted[i].hessian == nullptr) << name;
        if (wanted[i].hessian == nullptr) continue;
        ASSERT_EQ(found[i].hessian->n_inputs, wanted[i].hessian->n_inputs) << name;
        ASSERT_EQ(found[i].hessian->values, wanted[i].hessian->values) << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HessianMeterTest,
                         ::testing::Values("llama", "gemma3", "gemma4_moe", "gemma4_e", "qwen2",
                                           "qwen3_moe", "glm4_moe_lite", "qwen3_5_moe", "gpt_oss",
                                           "phi3", "mistral"),
                         [](const auto& param) { return std::string(param.param); });

// The first layer's q, k and v read normed embeddings.
TEST(HessianMeter, IsTheSumOfOuterProductsOfInputs) {
  const auto source = golden("llama");
  const AllParts parts = all_parts(*source, int64_t{1} << 30);
  const std::string layer = "model.layers.0.";
  const TensorEntry& table = *source->find("model.embed_tokens.weight");
  const int64_t in = table.in();
  std::vector<float> norm(static_cast<size_t>(in));
  source->read_rows(*source->find(layer + "input_layernorm.weight"), 0, 1, norm.data());
  const double eps = source->config()["rms_norm_eps"].get<double>();
  std::vector<double> expected(static_cast<size_t>(in * in));
  std::vector<float> x(static_cast<size_t>(in));
  for (const int32_t id : meter_options(0).text.ids) {
    source->read_rows(table, id, 1, x.data());
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(in) + eps);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<float>(scale * norm[i]);
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t j = 0; j < in; ++j) {
        expected[static_cast<size_t>(i * in + j)] +=
            double{x[static_cast<size_t>(i)]} * x[static_cast<size_t>(j)];
      }
    }
  }
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    const auto& known = parts.at(layer + "self_attn." + name + ".weight");
    ASSERT_EQ(known.size(), 1U);
    EXPECT_EQ(known[0].hessian->n_inputs, kMeterTokens);
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        const auto at = static_cast<size_t>(i * in + j);
        ASSERT_NEAR(known[0].hessian->values[at], expected[at], 1e-3) << name;
      }
    }
  }
  EXPECT_EQ(parts.at(layer + "self_attn.q_proj.weight")[0].hessian,
            parts.at(layer + "self_attn.v_proj.weight")[0].hessian);
}

// Every token goes to so many experts of a layer.
TEST(HessianMeter, ExpertsSeeWhatIsRoutedToThem) {
  const auto source = golden("qwen3_moe");
  const auto top_k = source->config()["num_experts_per_tok"].get<int64_t>();
  int64_t n_down = 0;
  for (const auto& [name, parts] : all_parts(*source, int64_t{1} << 30)) {
    if (name.rfind("model.layers.0.mlp.experts", 0) != 0) continue;
    for (const HessianPart& part : parts) {
      if (part.hessian == nullptr) continue;
      if (name.find("down_proj") == std::string::npos) {
        EXPECT_EQ(part.hessian->n_inputs, kMeterTokens) << name;  // each token once
      } else {
        n_down += part.hessian->n_inputs;
      }
    }
  }
  EXPECT_EQ(n_down, kMeterTokens * top_k);
}

TEST(HessianMeter, RefusesWhatTellsNothing) {
  const auto source = golden("llama");
  HessianMeterOptions options = meter_options(0);
  options.text.ids.resize(kMeterWindow - 1);
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"too little"},
                         [&] { HessianMeter(*source, options); });

  fixtures::TempDir dir;
  ConvertOptions convert_options;
  convert_options.destination = dir / "tq4";
  convert_options.plan.format = "tq4";
  convert_options.n_threads = 1;
  convert(*source, convert_options);
  const auto compressed = open_checkpoint(convert_options.destination);
  fixtures::expect_error(ErrorCode::kUnsupported, {"compressed"},
                         [&] { HessianMeter(*compressed, meter_options(0)); });
}

TEST(HessianMeter, CanBeStopped) {
  const auto source = golden("llama");
  HessianMeterOptions options = meter_options(int64_t{1} << 30);
  int asked = 0;
  options.cancelled = [&] { return ++asked == 3; };
  HessianMeter meter(*source, options);
  meter.announce(names_of(*source));
  const TensorEntry& tensor = *source->find("model.layers.0.self_attn.q_proj.weight");
  fixtures::expect_error(ErrorCode::kCancelled, {"stopped"}, [&] { meter.parts(tensor); });
}

}  // namespace
}  // namespace tq
