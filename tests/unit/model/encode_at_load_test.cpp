// Loading with a backend that compresses weights itself, against the host's compression: every
// matrix that is placed must be the same, whatever tensor and rows it comes from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>

#include "backend/refusing_backend.h"
#include "base/float16.h"
#include "base/math.h"
#include "model/arch/registry.h"
#include "model/weights.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Keeps what is placed and runs nothing. Its encoder, if it has one, is the host's.
class PlacingBackend final : public RefusingBackend, public WeightEncoder {
 public:
  struct Placed {
    std::string format;
    int64_t rows, in;
    std::vector<uint8_t> codes;
    std::vector<uint16_t> gains;
    bool operator==(const Placed&) const = default;
  };
  explicit PlacingBackend(bool encodes) : encodes_(encodes) {}

  std::vector<Placed> placed;
  int n_encoded = 0;
  std::string lacks;         // a format without kernels
  std::string left_to_host;  // a format that the encoder does not write

  bool has_kernels(FormatId format) const override { return format_traits(format).name != lacks; }
  bool has_kernels(KvFormatId /*format*/) const override { return true; }
  bool takes_sinks = true;
  bool has_sinks() const override { return takes_sinks; }

  WeightEncoder* encoder() override { return encodes_ ? this : nullptr; }
  bool encodes(FormatId format) const override {
    return encodes_ && format_traits(format).name != left_to_host;
  }
  int64_t encoder_bytes() const override { return encodes_ ? 1 : 0; }
  WeightView encode(const WeightView& weight, const EncodeSource& source,
                    const EncodeOptions& options) override {
    const int64_t bytes = dtype_info(source.dtype).bytes;
    std::vector<uint8_t> stored(static_cast<size_t>(weight.rows * weight.in * bytes));
    const int64_t half = weight.rows / 2;  // in two parts
    source.read(half, weight.rows - half, stored.data() + half * weight.in * bytes);
    source.read(0, half, stored.data());
    std::vector<float> padded(static_cast<size_t>(weight.in_padded));
    std::vector<float> gains(static_cast<size_t>(weight.gains_per_row()));
    Placed& out = keep(weight);
    for (int64_t r = 0; r < weight.rows; ++r) {
      to_f32(source.dtype, stored.data() + r * weight.in * bytes, weight.in, padded.data());
      for (const float value : padded) {
        if (!std::isfinite(value) && first_bad_ < 0) first_bad_ = since_finish_;
      }
      weight.traits().encode_rows(padded.data(), weight.in_padded, weight.group, options,
                                  out.codes.data() + r * weight.code_row_bytes(), gains.data());
      std::transform(gains.begin(), gains.end(), out.gains.begin() + r * weight.gains_per_row(),
                     f32_to_f16);
    }
    ++n_encoded;
    ++since_finish_;
    return weight;
  }
  int64_t finish() override {
    since_finish_ = 0;
    return std::exchange(first_bad_, -1);
  }

  std::string_view name() const override { return "placing"; }
  Buffer allocate(size_t size_bytes) override { return Buffer(size_bytes); }
  Buffer allocate_host(size_t size_bytes) override { return Buffer(size_bytes); }
  bool on_host() const override { return false; }
  void upload(const void* from, void* to, size_t n) override { std::memcpy(to, from, n); }
  void download(const void* from, void* to, size_t n) override { std::memcpy(to, from, n); }
  WeightView import_weight(const WeightView& weight, Buffer& /*storage*/) override {
    Placed& out = keep(weight);
    std::memcpy(out.codes.data(), weight.codes, out.codes.size());
    if (!out.gains.empty()) std::memcpy(out.gains.data(), weight.gains, 2 * out.gains.size());
    return weight;
  }

 private:
  Placed& keep(const WeightView& weight) {
    EXPECT_EQ(weight.experts, 1);
    Placed& out = placed.emplace_back();
    out.format = weight.traits().name;
    out.rows = weight.rows;
    out.in = weight.in;
    out.codes.resize(static_cast<size_t>(weight.rows * weight.code_row_bytes()));
    out.gains.resize(static_cast<size_t>(weight.rows * weight.gains_per_row()));
    return out;
  }

  bool encodes_;
  int64_t since_finish_ = 0;
  int64_t first_bad_ = -1;
};

void load(const Checkpoint& checkpoint, PlacingBackend& backend, const std::string& format) {
  const Architecture& arch = find_architecture(checkpoint.config());
  LoadOptions options;
  options.threads = 2;
  options.format_for = [&](const TensorEntry& entry) {
    const bool table = entry.name.find("embed") != std::string::npos;
    return entry.shape.size() < 2 ? "" : table ? "bf16" : format;
  };
  load_weights(checkpoint, arch.make_spec(checkpoint.config()), arch.tensor_names(), backend,
               options);
}

class EncodeAtLoad : public testing::TestWithParam<const char*> {};

TEST_P(EncodeAtLoad, PlacesWhatTheHostPlaces) {
  const Golden golden(GetParam());
  // Tensors as the files have them, and as fp32.
  const MemoryCheckpoint memory(*golden.checkpoint);
  const std::array<const Checkpoint*, 2> checkpoints = {golden.checkpoint.get(), &memory};
  for (const Checkpoint* checkpoint : checkpoints) {
    for (const char* format : {"tq3", "tq8"}) {
      PlacingBackend host(false), device(true);
      load(*checkpoint, host, format);
      load(*checkpoint, device, format);
      EXPECT_EQ(host.n_encoded, 0);
      EXPECT_GT(device.n_encoded, 0);
      ASSERT_EQ(device.placed.size(), host.placed.size());
      for (size_t i = 0; i < host.placed.size(); ++i) {
        EXPECT_TRUE(device.placed[i] == host.placed[i]) << format << ", matrix " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, EncodeAtLoad,
                         testing::Values("llama", "gemma3", "gemma4_e", "gemma4_moe", "qwen3_moe",
                                         "glm4_moe_lite"),
                         [](const auto& one) { return std::string(one.param); });

TEST(EncodeAtLoadChecks, NamesTheTensorThatIsNotFinite) {
  const Golden golden("gemma4_moe");
  MemoryCheckpoint checkpoint(*golden.checkpoint);
  std::string name;
  for (const auto& tensor : checkpoint.contents()) {
    if (tensor.shape.size() == 3 && tensor.name.find("down") != std::string::npos)
      name = tensor.name;
  }
  ASSERT_FALSE(name.empty());
  checkpoint.tensor(name).values.back() = std::numeric_limits<float>::quiet_NaN();
  PlacingBackend device(true);
  for (int repeat = 0; repeat < 2; ++repeat) {  // what was found does not last
    const Error error = error_of([&] { load(checkpoint, device, "tq3"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.what(), HasSubstr(name));
  }
  checkpoint.tensor(name).values.back() = 0.5f;
  load(checkpoint, device, "tq3");
}

TEST(EncodeAtLoadChecks, TheHostEncodesWhatTheEncoderDoesNot) {
  const Golden golden("llama");
  PlacingBackend host(false), device(true);
  device.left_to_host = "tq3";
  load(*golden.checkpoint, host, "tq3");
  load(*golden.checkpoint, device, "tq3");
  EXPECT_EQ(device.n_encoded, 0);
  EXPECT_TRUE(device.placed == host.placed);
  load(*golden.checkpoint, device, "tq4");
  EXPECT_GT(device.n_encoded, 0);
}

// Attention would leave them out: before a weight is read.
TEST(EncodeAtLoadChecks, RefusesSinksThatAreNotComputed) {
  const Golden golden("gpt_oss");
  PlacingBackend device(false);
  load(*golden.checkpoint, device, "");
  device.takes_sinks = false;
  device.placed.clear();
  const Error error = error_of([&] { load(*golden.checkpoint, device, ""); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("gpt_oss has sinks"), HasSubstr("placing"),
                                  HasSubstr("--device cpu")));
  EXPECT_TRUE(device.placed.empty());
  load(*Golden("llama").checkpoint, device, "");
}

TEST(EncodeAtLoadChecks, RefusesAFormatWithoutKernelsByName) {
  const Golden golden("llama");
  for (const bool encodes : {true, false}) {
    PlacingBackend device(encodes);
    device.lacks = "tq5";
    const Error error = error_of([&] { load(*golden.checkpoint, device, "tq5"); });
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("placing"), HasSubstr("tq5"), HasSubstr("proj"),
                                    HasSubstr(golden.checkpoint->path().string())));
    EXPECT_EQ(device.n_encoded, 0);
    load(*golden.checkpoint, device, "tq4");
  }
}

}  // namespace
}  // namespace tq::test
