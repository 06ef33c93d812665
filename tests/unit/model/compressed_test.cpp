// Models whose weights are compressed at load, against the same models with the decompressed
// weights in fp32: the only difference allowed is rounding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "base/float16.h"
#include "base/math.h"
#include "model/materialize.h"
#include "support/kv_formats.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::HasSubstr;

// Matrices but tables and routers, whose choices a little noise would turn. kv_b is among them:
// exact runs must not encode its transposed part a second time.
bool is_linear(const TensorEntry& entry) {
  const auto has = [&](const char* part) { return entry.name.find(part) != std::string::npos; };
  return entry.shape.size() >= 2 && !has("embed") && !has("router") && !has("mlp.gate.");
}

// What is left of the values after a round trip through the format.
void round_trip(MemoryCheckpoint::Tensor& tensor, const std::string& name) {
  const FormatTraits& format = *find_format(name);
  const auto in = tensor.shape.back();
  WeightView view = weight_shape(format, 1, in);
  std::vector<uint8_t> codes(static_cast<size_t>(view.code_row_bytes()));
  std::vector<float> gains(static_cast<size_t>(view.gains_per_row()));
  std::vector<uint16_t> half_gains(gains.size());
  std::vector<float> padded(static_cast<size_t>(view.in_padded));
  std::vector<float> scratch(padded.size());
  view.codes = codes.data();
  view.gains = half_gains.data();
  for (float* row = tensor.values.data(); row != tensor.values.data() + tensor.values.size();
       row += in) {
    std::copy_n(row, in, padded.begin());
    format.encode_rows(padded.data(), view.in_padded, view.group, {}, codes.data(), gains.data());
    std::transform(gains.begin(), gains.end(), half_gains.begin(), f32_to_f16);
    decode_row_plain(view, 0, row, scratch.data());
  }
}

struct Case {
  const char* model;
  const char* format;
};

class CompressedTest : public testing::TestWithParam<Case> {};

TEST_P(CompressedTest, EqualsTheDecompressedModel) {
  const Golden golden(GetParam().model);
  MemoryCheckpoint plain(*golden.checkpoint);
  for (const TensorEntry& entry : golden.checkpoint->tensors()) {
    if (is_linear(entry)) round_trip(plain.tensor(entry.name), GetParam().format);
  }
  const std::vector<float> expected = Runner(plain).run(golden.tokens);
  // Compression must show, or this proves nothing.
  EXPECT_GT(relative_difference(expected, golden.logits), 1e-3);

  LoadOptions options;
  options.format_for = [](const TensorEntry& entry) {
    return is_linear(entry) ? GetParam().format : "";
  };
  Runner exact(*golden.checkpoint, /*exact=*/true, options);
  // A tier of 16-bit numbers and int8 centroids rounds more than int8 activations do.
  if (forced_kernels() == "dequant") {
    EXPECT_LE(rms_difference(exact.run(golden.tokens), expected), 0.1);
  } else {
    EXPECT_LE(relative_difference(exact.run(golden.tokens), expected), 1e-4);
  }
  EXPECT_LT(exact.model().weight_bytes(), Runner(plain).model().weight_bytes() * 2 / 3);
  // Activations rounded to int8 add about half a percent of noise a matmul; these models have 15
  // to 29 in a row and weights that damp nothing.
  Runner fast(*golden.checkpoint, /*exact=*/false, options);
  EXPECT_LE(rms_difference(fast.run(golden.tokens), expected), 5e-2);
}

INSTANTIATE_TEST_SUITE_P(
    Models, CompressedTest,
    testing::Values(Case{"llama", "tq4"}, Case{"llama_bias_rope3", "tq4"},
                    Case{"llama_bias_rope3", "tq8"}, Case{"llama_wide_heads", "tq3"},
                    Case{"gemma3", "tq4"}, Case{"gemma3", "tq8"}, Case{"gemma4_moe", "tq4"},
                    Case{"gemma4_e", "tq8"}, Case{"qwen3_moe", "tq4"}, Case{"glm4_moe_lite", "tq4"},
                    Case{"glm4_moe_lite_groups", "tq8"}),
    [](const auto& test) { return std::string(test.param.model) + "_" + test.param.format; });

// q in one format, k and v in another, up plain: each is given the input in its own form.
TEST(CompressedModel, MixedFormatsInOneLayer) {
  const Golden golden("llama_wide_heads");
  const auto format_for = [](const TensorEntry& entry) -> std::string {
    if (entry.name.ends_with("q_proj.weight")) return "tq4";
    if (entry.name.ends_with("k_proj.weight")) return "bf16";
    if (entry.name.ends_with("v_proj.weight")) return "tq6";
    if (entry.name.ends_with("gate_proj.weight")) return "f16";
    if (entry.name.find("embed") != std::string::npos) return "tq8";
    return "";
  };
  MemoryCheckpoint plain(*golden.checkpoint);
  for (const TensorEntry& entry : golden.checkpoint->tensors()) {
    const std::string format = format_for(entry);
    if (!format.empty()) round_trip(plain.tensor(entry.name), format);
  }
  LoadOptions options;
  options.format_for = format_for;
  Runner runner(*golden.checkpoint, /*exact=*/true, options);
  const std::vector<float> expected = Runner(plain).run(golden.tokens);
  EXPECT_LE(relative_difference(runner.run(golden.tokens), expected), 1e-4);
}

TEST(CompressedModel, DoesNotDependOnTheThreadCount) {
  const Golden golden("llama");
  LoadOptions options;
  options.format_for = [](const TensorEntry&) { return "tq3"; };
  const std::vector<float> expected = Runner(*golden.checkpoint, true, options).run(golden.tokens);
  const auto backend = make_cpu_backend({.threads = 1, .exact = true});
  options.threads = 1;
  options.max_context = 64;
  const auto model = Model::load(*golden.checkpoint, *backend, options);
  KvCache kv(*backend, model->kv_layout(), fixtures::kKvF32, std::vector<int64_t>{4});
  PageTable table{{{{0, 1, 2}}}};
  std::vector<float> logits(expected.size());
  const BatchSequence sequence{golden.tokens, 0, &table,
                               static_cast<int64_t>(golden.tokens.size())};
  model->forward({&sequence, 1}, kv, logits);
  EXPECT_EQ(logits, expected);
}

// A checkpoint whose matrices are compressed already, by the host.
class EncodedCheckpoint final : public MemoryCheckpoint {
 public:
  EncodedCheckpoint(const Checkpoint& source, const FormatTraits& format)
      : MemoryCheckpoint(source), materializer_(source, {}, 2) {
    for (const TensorEntry& entry : source.tensors()) {
      if (!is_linear(entry)) continue;
      views_[entry.name] = materializer_.weight(entry, format, planes_[entry.name]);
    }
  }
  std::optional<WeightView> view(const TensorEntry& entry) const override {
    const auto found = views_.find(entry.name);
    return found == views_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  Materializer materializer_;
  std::map<std::string, Buffer> planes_;
  std::map<std::string, WeightView> views_;
};

// Compression at load, by whatever the backend has for it, leads to the bits that weights lead to
// which the host has compressed before.
TEST(CompressedModel, EqualsTheModelCompressedBefore) {
  for (const char* model : {"llama_wide_heads", "gemma4_moe", "qwen3_moe", "glm4_moe_lite"}) {
    for (const char* format : {"tq3", "tq8"}) {
      const Golden golden(model);
      const EncodedCheckpoint encoded(*golden.checkpoint, *find_format(format));
      LoadOptions options;
      options.format_for = [&](const TensorEntry& entry) { return is_linear(entry) ? format : ""; };
      Runner runner(*golden.checkpoint, /*exact=*/false, options);
      EXPECT_EQ(runner.run(golden.tokens), Runner(encoded, false).run(golden.tokens))
          << model << " " << format;
    }
  }
}

TEST(CompressedModel, RefusesWhatCannotBeStored) {
  const Golden golden("llama");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  const auto load = [&](const std::string& format) {
    LoadOptions options;
    options.format_for = [=](const TensorEntry& entry) { return is_linear(entry) ? format : ""; };
    Runner runner(checkpoint, true, options);
  };
  Error error = error_of([&] { load("tq99"); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("tq99"));

  const std::string name = "model.layers.1.mlp.down_proj.weight";
  float& value = checkpoint.tensor(name).values[77];
  value = 1e5f;
  error = error_of([&] { load("f16"); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr(name));
  load("bf16");  // has the range
  value = 1e7f;  // a gain that f16 cannot hold
  error = error_of([&] { load("tq4"); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr(name));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF}) {
    value = bad;
    for (const char* format : {"tq4", "f16", ""}) {
      error = error_of([&] { load(format); });
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  }
}

}  // namespace
}  // namespace tq::test
