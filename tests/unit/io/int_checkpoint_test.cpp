// Folders of integers, read: values that other implementations decode from the same tensors
// (tests/golden/ints, with the script that made them), and files that do not fit together.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/float16.h"
#include "format/int_groups.h"
#include "io/checkpoint.h"
#include "io/native/native_manifest.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;

std::string int_bytes(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

void describe_layout(const fs::path& folder, const std::string& layout) {
  NativeManifest manifest;
  manifest.layout = layout;
  manifest.tool_version = "test";
  write_bytes(folder / "tq_config.json", manifest.to_json().dump());
  write_bytes(folder / "config.json", R"({"model_type": "llama"})");
}

std::unique_ptr<Checkpoint> open_ints(const TempDir& dir, const SafetensorsBuilder& tensors,
                                      const std::string& layout) {
  tensors.write(dir / "model.safetensors");
  describe_layout(dir.path(), layout);
  return open_checkpoint(dir.path());
}

struct IntCase {
  Json json;
  std::string layout() const { return json["layout"]; }
  int64_t rows() const { return json["rows"]; }
  int64_t in() const { return json["in"]; }
  int64_t groups() const { return in() / json["group"].get<int64_t>(); }
  bool f16() const { return json["scale"] == "float16"; }
  DType scale() const { return f16() ? DType::kF16 : DType::kBF16; }
  std::string bytes(const char* key) const { return int_bytes(json[key]); }

  SafetensorsBuilder tensors() const {
    SafetensorsBuilder builder;
    const auto words = rows() / 8;
    if (layout() == "awq") {
      builder.add("l.qweight", DType::kI32, {in(), words}, bytes("qweight"));
      builder.add("l.qzeros", DType::kI32, {groups(), words}, bytes("qzeros"));
      builder.add("l.scales", DType::kF16, {groups(), rows()}, bytes("scales"));
      return builder;
    }
    const int64_t shape[2] = {rows(), in()};
    builder.add("l.weight_packed", DType::kI32, json["packed_shape"].get<Shape>(),
                bytes("weight_packed"));
    builder.add("l.weight_scale", scale(), {rows(), groups()}, bytes("weight_scale"));
    builder.add("l.weight_shape", DType::kI64, {2},
                {reinterpret_cast<const char*>(shape), sizeof(shape)});
    if (json.contains("zero_shape")) {
      builder.add("l.weight_zero_point", DType::kI32, json["zero_shape"].get<Shape>(),
                  bytes("weight_zero_point"));
    }
    return builder;
  }
};

std::vector<IntCase> golden_cases() {
  const Json list = parse_json(
      read_text_file(fs::path(TQ_TEST_DATA) / "golden/ints/ints.json", 1 << 20), "ints.json");
  std::vector<IntCase> cases;
  for (const Json& json : list) cases.push_back({json});
  return cases;
}

TEST(IntCheckpoint, ValuesAreThoseOfCompressedTensorsAndAwq) {
  const std::vector<IntCase> cases = golden_cases();
  ASSERT_EQ(cases.size(), 10u);
  for (const IntCase& golden : cases) {
    const TempDir dir;
    const auto checkpoint = open_ints(dir, golden.tensors(), golden.layout());
    ASSERT_EQ(checkpoint->tensors().size(), 1u);
    const TensorEntry& tensor = checkpoint->tensors()[0];
    EXPECT_EQ(tensor.name, "l.weight");
    EXPECT_EQ(tensor.shape, (Shape{golden.rows(), golden.in()}));
    EXPECT_EQ(tensor.storage,
              fmt::format("{}{}-g{}", golden.json["symmetric"].get<bool>() ? "int" : "uint",
                          golden.json["bits"].get<int>(), golden.json["group"].get<int>()));
    const std::string values = golden.bytes("values");
    std::vector<float> row(static_cast<size_t>(golden.in()));
    const int64_t stride = golden.json["value_stride"];
    size_t at = 0;
    for (int64_t r = 0; r < golden.rows(); r += stride) {
      checkpoint->read_rows(tensor, r, 1, row.data());
      for (const float value : row) {
        uint16_t bits = 0;
        ASSERT_LE(at + 2, values.size());
        std::memcpy(&bits, values.data() + at, 2);
        at += 2;
        const float expected = golden.f16() ? f16_to_f32(bits) : bf16_to_f32(bits);
        ASSERT_EQ(value, expected) << golden.layout() << " " << tensor.storage << " row " << r;
      }
    }
    EXPECT_EQ(at, values.size());
  }
}

// The other direction: codes packed here are the package's bytes.
TEST(IntCheckpoint, PackedBytesAreThoseOfCompressedTensors) {
  for (const IntCase& golden : golden_cases()) {
    if (golden.layout() == "awq") continue;
    const int bits = golden.json["bits"];
    const std::string packed = golden.bytes("weight_packed");
    const int64_t n = golden.rows() * golden.in();
    std::vector<uint8_t> codes(static_cast<size_t>(n));
    unpack_codes(reinterpret_cast<const uint8_t*>(packed.data()), n, bits, codes.data());
    std::string again(packed.size(), '\0');
    pack_codes(codes.data(), n, bits, reinterpret_cast<uint8_t*>(again.data()));
    EXPECT_EQ(again, packed);
  }
}

TEST(IntCheckpoint, PlanesThatDoNotFitAreNamed) {
  const auto refused = [](const SafetensorsBuilder& tensors, const std::string& layout,
                          const std::string& message) {
    const TempDir dir;
    expect_error(ErrorCode::kCorrupt, {message}, [&] { open_ints(dir, tensors, layout); });
  };
  const int64_t shape[2] = {8, 64};
  const auto rows = [&](const Shape& packed, const Shape& scale, const int64_t* stored,
                        DType type = DType::kBF16) {
    SafetensorsBuilder builder;
    const auto zeros = [](const Shape& of, size_t bytes) {
      for (const int64_t dim : of) bytes *= static_cast<size_t>(dim);
      return std::string(bytes, '\0');
    };
    builder.add("l.weight_packed", DType::kI32, packed, zeros(packed, 4));
    builder.add("l.weight_scale", type, scale, zeros(scale, type == DType::kF32 ? 4 : 2));
    builder.add("l.weight_shape", DType::kI64, {2}, {reinterpret_cast<const char*>(stored), 16});
    return builder;
  };
  const std::string ct = "compressed-tensors";
  refused(rows({8, 7}, {8, 1}, shape), ct, "no 3, 4 or 8 bits for rows of 64");
  refused(rows({8, 8}, {8, 3}, shape), ct, "3 scales for rows of 64");
  refused(rows({8, 8}, {8, 64}, shape), ct, "groups must be 32, 64 or 128");
  refused(rows({8, 8}, {9, 1}, shape), ct, "must be BF16 [8, 1]");
  refused(rows({9, 8}, {8, 1}, shape), ct, "must be I32 [8, 8]");
  refused(rows({8, 8}, {8, 1}, shape, DType::kF32), ct, "must be F16 or BF16");
  refused(rows({8, 8, 1}, {8, 1}, shape), ct, "planes must be [outputs, ...]");
  for (const int64_t bad : {int64_t{-64}, int64_t{0}, int64_t{1} << 62, int64_t{96}}) {
    const int64_t hostile[2] = {8, bad};
    refused(rows({8, 8}, {8, 1}, hostile), ct, "no 3, 4 or 8 bits");
  }
  const int64_t negative[2] = {-8, 64};
  refused(rows({8, 8}, {8, 1}, negative), ct, "must be I32 [-8, 8]");
  SafetensorsBuilder lonely;
  lonely.add("l.weight_scale", DType::kBF16, {1, 1}, std::string(2, '\0'));
  refused(lonely, ct, "there is no l.weight_packed");
  SafetensorsBuilder awq;
  awq.add("l.qweight", DType::kI32, {64, 2}, std::string(512, '\0'));
  awq.add("l.scales", DType::kF16, {1, 16}, std::string(32, '\0'));
  refused(awq, "awq", "there is no l.qzeros");
  awq.add("l.qzeros", DType::kI32, {1, 1}, std::string(4, '\0'));
  refused(awq, "awq", "must be I32 [1, 2]");
  SafetensorsBuilder empty;  // of no bytes, so that the file bounds nothing
  empty.add("l.qweight", DType::kI32, {int64_t{1} << 62, 0}, "");
  empty.add("l.scales", DType::kF16, {int64_t{1} << 55, 0}, "");
  empty.add("l.qzeros", DType::kI32, {int64_t{1} << 55, 0}, "");
  refused(empty, "awq", "outputs are no multiple of 8");
  const int64_t no_rows[2] = {0, 64};
  refused(rows({0, 8}, {0, 1}, no_rows), ct, "must be I32 [outputs, 8]");
}

TEST(IntCheckpoint, LostZeroPointsAreNotSymmetric) {
  IntCase golden = golden_cases()[2];
  ASSERT_FALSE(golden.json["symmetric"].get<bool>());
  golden.json.erase("zero_shape");
  const TempDir dir;
  golden.tensors().write(dir / "model.safetensors");
  describe_layout(dir.path(), golden.layout());
  const auto config = [&](bool symmetric) {
    const Json weights = {{"weights", {{"symmetric", symmetric}}}};
    const Json groups = {{"config_groups", {{"group_0", weights}}}};
    write_bytes(dir / "config.json",
                Json{{"model_type", "llama"}, {"quantization_config", groups}}.dump());
  };
  config(true);
  EXPECT_NO_THROW(open_checkpoint(dir.path()));
  config(false);
  expect_error(ErrorCode::kCorrupt, {"there is no l.weight_zero_point"},
               [&] { open_checkpoint(dir.path()); });
}

TEST(IntCheckpoint, ZeroPointsMustFit) {
  IntCase golden = golden_cases()[2];
  ASSERT_FALSE(golden.json["symmetric"].get<bool>());
  golden.json["zero_shape"] = Shape{2, 4};
  const TempDir dir;
  expect_error(ErrorCode::kCorrupt, {"must be I32 [4, 2]"},
               [&] { open_ints(dir, golden.tensors(), golden.layout()); });
}

TEST(IntCheckpoint, UnknownLayoutsAreRefused) {
  const TempDir dir;
  expect_error(ErrorCode::kUnsupported, {"layout \"future\""},
               [&] { open_ints(dir, golden_cases()[0].tensors(), "future"); });
}

// The description of these folders is that of ours with a layout and without tensors.
TEST(IntCheckpoint, DescriptionIsReadStrictly) {
  NativeManifest manifest;
  manifest.layout = "awq";
  const Json json = manifest.to_json();
  EXPECT_EQ(NativeManifest::parse(json.dump(), "here").layout, "awq");
  Json described = json;
  described["tensors"] = Json::array({{{"name", "a"},
                                       {"format", "tq3"},
                                       {"shape", {8, 128}},
                                       {"group", 128},
                                       {"in_padded", 128}}});
  expect_error(ErrorCode::kCorrupt, {"must be empty for layout awq"},
               [&] { NativeManifest::parse(described.dump(), "here"); });
  Json number = json;
  number["layout"] = 4;
  expect_error(ErrorCode::kCorrupt, {"\"layout\" must be a string"},
               [&] { NativeManifest::parse(number.dump(), "here"); });
}

}  // namespace
}  // namespace tq
