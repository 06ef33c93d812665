#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/float16.h"
#include "io/checkpoint.h"
#include "io/native/native_manifest.h"
#include "io/safetensors/safetensors_index.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;

struct Planes {
  std::vector<uint8_t> codes;
  std::vector<float> gains;
  Shape codes_shape, gains_shape;
};

std::vector<float> wave(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(0.7f * static_cast<float>(i * i % 97));
  return x;
}

// Encodes wave() as the tensor's format says.
Planes encode(const NativeTensor& tensor) {
  const FormatTraits& format = *find_format(tensor.format);
  const int64_t in = tensor.shape.back();
  const int64_t n_rows =
      tensor.shape.size() == 3 ? tensor.shape[0] * tensor.shape[1] : tensor.shape[0];
  const int64_t row_bytes = format.code_row_bytes(tensor.in_padded);
  const int64_t groups = tensor.in_padded / tensor.group;
  const std::vector<float> x = wave(n_rows * in);
  Planes planes;
  planes.codes.resize(static_cast<size_t>(n_rows * row_bytes));
  planes.gains.resize(static_cast<size_t>(n_rows * groups));
  for (int64_t row = 0; row < n_rows; ++row) {
    std::vector<float> padded(static_cast<size_t>(tensor.in_padded));
    std::copy_n(x.data() + row * in, in, padded.data());
    format.encode_rows(padded.data(), tensor.in_padded, tensor.group, {},
                       planes.codes.data() + row * row_bytes, planes.gains.data() + row * groups);
  }
  planes.codes_shape = {n_rows, row_bytes};
  planes.gains_shape = {n_rows, groups};
  return planes;
}

NativeTensor matrix() { return {"a.weight", "tq3", {5, 192}, 64, 192}; }
NativeTensor stack() { return {"experts", "tq4", {2, 3, 40}, 32, 64}; }

NativeManifest manifest_of(std::vector<NativeTensor> tensors) {
  NativeManifest manifest;
  manifest.tool_version = "test";
  manifest.tensors = std::move(tensors);
  return manifest;
}

void write_manifest(const TempDir& dir, const NativeManifest& manifest) {
  write_bytes(dir / kNativeConfigName, manifest.to_json().dump(1));
}

void add_planes(SafetensorsBuilder& builder, const NativeTensor& tensor) {
  const Planes planes = encode(tensor);
  builder.add_bytes(tensor.name + kPackedSuffix, planes.codes_shape, planes.codes);
  builder.add_floats(tensor.name + kScalesSuffix, planes.gains_shape, planes.gains, DType::kF16);
}

// A complete small checkpoint: a matrix, a padded stack of experts and a plain norm.
void write_checkpoint(const TempDir& dir) {
  SafetensorsBuilder builder;
  add_planes(builder, matrix());
  builder.add_floats("norm.weight", {3}, std::vector<float>{1, 2, 3}, DType::kBF16);
  add_planes(builder, stack());
  builder.write(dir / "model.safetensors");
  write_manifest(dir, manifest_of({stack(), matrix()}));
  write_bytes(dir / "config.json",
              R"({"quantization_config":{"quant_method":"turboquant","version":1}})");
}

TEST(NativeCheckpoint, PresentsLogicalTensors) {
  const TempDir dir;
  write_checkpoint(dir);
  const auto checkpoint = open_checkpoint(dir.path());
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kNative);
  ASSERT_EQ(checkpoint->tensors().size(), 3u);
  const TensorEntry& a = checkpoint->tensors()[0];
  EXPECT_EQ(a.name, "a.weight");
  EXPECT_EQ(a.shape, (Shape{5, 192}));
  EXPECT_EQ(a.storage, "tq3");
  EXPECT_EQ(a.dtype, std::nullopt);
  EXPECT_EQ(a.stored_bytes, 5 * (72 + 6));
  EXPECT_EQ(checkpoint->tensors()[1].dtype, DType::kBF16);
  EXPECT_EQ(checkpoint->tensors()[2].shape, (Shape{2, 3, 40}));
  float norm[3];
  checkpoint->read_rows(checkpoint->tensors()[1], 0, 1, norm);
  EXPECT_EQ(norm[2], 3);
}

TEST(NativeCheckpoint, ReadsAndViewsTheSameRows) {
  const TempDir dir;
  write_checkpoint(dir);
  const auto checkpoint = open_checkpoint(dir.path());
  for (const char* name : {"a.weight", "experts"}) {
    const TensorEntry& tensor = *checkpoint->find(name);
    const auto view = checkpoint->view(tensor);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->experts * view->rows, tensor.n_rows());
    const auto in = static_cast<size_t>(tensor.in());
    std::vector<float> read(static_cast<size_t>(tensor.n_elements()));
    std::vector<float> row(in), scratch(static_cast<size_t>(view->in_padded));
    checkpoint->read_rows(tensor, 0, tensor.n_rows(), read.data());
    checkpoint->drop_rows(tensor, 0, tensor.n_rows());
    const std::vector<float> source = wave(tensor.n_elements());
    double error = 0, norm = 0;
    for (int64_t r = 0; r < tensor.n_rows(); ++r) {
      decode_row_plain(*view, r, row.data(), scratch.data());
      for (size_t i = 0; i < in; ++i) {
        const size_t at = static_cast<size_t>(r) * in + i;
        ASSERT_EQ(row[i], read[at]);
        error += std::pow(read[at] - source[at], 2);
        norm += std::pow(source[at], 2);
      }
    }
    EXPECT_LT(error / norm, 0.06) << name;  // the codec's error, so rows and groups are in place
    checkpoint->read_rows(tensor, tensor.n_rows() - 1, 1, row.data());
    EXPECT_EQ(row, std::vector<float>(read.end() - static_cast<std::ptrdiff_t>(in), read.end()));
  }
}

TEST(NativeCheckpoint, ReadsScalesAtOddAddresses) {
  const TempDir dir;
  SafetensorsBuilder builder;
  builder.add_bytes("byte", {1}, std::vector<uint8_t>{1});
  add_planes(builder, matrix());
  builder.write(dir / "model.safetensors");
  write_manifest(dir, manifest_of({matrix()}));
  const auto checkpoint = open_checkpoint(dir.path());
  const TensorEntry& tensor = *checkpoint->find("a.weight");
  EXPECT_EQ(checkpoint->view(tensor), std::nullopt);
  std::vector<float> row(192);
  checkpoint->read_rows(tensor, 1, 1, row.data());
  EXPECT_NEAR(row[0], wave(193)[192], 0.5f);
}

TEST(NativeCheckpoint, JoinsAPairAcrossShards) {
  const TempDir dir;
  const Planes planes = encode(matrix());
  SafetensorsBuilder()
      .add_bytes("a.weight.tq_packed", planes.codes_shape, planes.codes)
      .write(dir / "1.safetensors");
  SafetensorsBuilder()
      .add_floats("a.weight.tq_scales", planes.gains_shape, planes.gains, DType::kF16)
      .write(dir / "2.safetensors");
  write_bytes(dir / kSafetensorsIndexName,
              R"({"weight_map":{"a.weight.tq_packed":"1.safetensors",
                                "a.weight.tq_scales":"2.safetensors"}})");
  write_manifest(dir, manifest_of({matrix()}));
  EXPECT_TRUE(open_checkpoint(dir.path())->view(*open_checkpoint(dir.path())->find("a.weight")));
}

TEST(NativeCheckpoint, RefusesPlanesThatDoNotFitTheManifest) {
  const TempDir dir;
  const auto expect_refused = [&](std::vector<NativeTensor> tensors, ErrorCode code,
                                  std::initializer_list<std::string> parts) {
    write_manifest(dir, manifest_of(std::move(tensors)));
    expect_error(code, parts, [&] { open_checkpoint(dir.path()); });
  };
  write_checkpoint(dir);
  expect_refused({matrix()}, ErrorCode::kCorrupt, {"experts.tq_packed", "does not describe"});
  NativeTensor other = matrix();
  other.name = "b.weight";
  expect_refused({matrix(), stack(), other}, ErrorCode::kNotFound, {"1 of", "\"b.weight\""});
  other = matrix();
  other.format = "tq4";
  expect_refused({other, stack()}, ErrorCode::kCorrupt,
                 {"a.weight.tq_packed", "U8 [5, 72]", "[5, 96]"});
  other = matrix();
  other.shape = {6, 192};
  expect_refused({other, stack()}, ErrorCode::kCorrupt, {"[6, 72]"});
  other = matrix();
  other.group = 32;
  expect_refused({other, stack()}, ErrorCode::kCorrupt, {"a.weight.tq_scales", "[5, 6]"});
}

TEST(NativeCheckpoint, RefusesHalfPairsAndWrongDtypes) {
  const TempDir dir;
  write_manifest(dir, manifest_of({matrix()}));
  const Planes planes = encode(matrix());
  const auto refused = [&](const SafetensorsBuilder& builder,
                           std::initializer_list<std::string> parts) {
    builder.write(dir / "model.safetensors");
    expect_error(ErrorCode::kCorrupt, parts, [&] { open_checkpoint(dir.path()); });
  };
  refused(SafetensorsBuilder().add_bytes("a.weight.tq_packed", planes.codes_shape, planes.codes),
          {"there is no a.weight.tq_scales"});
  refused(SafetensorsBuilder().add_floats("a.weight.tq_scales", planes.gains_shape, planes.gains,
                                          DType::kF16),
          {"there is no a.weight.tq_packed"});
  refused(SafetensorsBuilder()
              .add_bytes("a.weight.tq_packed", planes.codes_shape, planes.codes)
              .add_floats("a.weight.tq_scales", planes.gains_shape, planes.gains, DType::kF32),
          {"F32 [5, 3]", "must be F16"});
  SafetensorsBuilder twice;
  add_planes(twice, matrix());
  refused(twice.add_floats("a.weight", {1}, std::vector<float>{1}), {"\"a.weight\" twice"});
}

NativeManifest parse_manifest(const Json& json) {
  return NativeManifest::parse(json.dump(), "tq_config.json", ManifestHashes::kRead);
}

TEST(NativeManifest, RoundTrips) {
  NativeManifest manifest = manifest_of({matrix(), stack()});
  manifest.encoder = {{"effort", "default"}};
  manifest.report = {{"attention", {{"bytes", 12}}}};
  manifest.hashes = {{"w", "00"}};
  const Json json = manifest.to_json();
  EXPECT_EQ(parse_manifest(parse_json(json.dump(), "x")).to_json(), json);
  EXPECT_EQ(parse_manifest(json).tensors[1].in_padded, 64);
}

TEST(NativeManifest, RefusesOtherVersionsSeedsAndFormats) {
  const Json good = manifest_of({matrix()}).to_json();
  const auto refused = [&](const char* key, const Json& value, const std::string& part) {
    Json json = good;
    json[key] = value;
    expect_error(ErrorCode::kUnsupported, {"tq_config.json", part}, [&] { parse_manifest(json); });
  };
  refused("version", 2, "version 2");
  refused("seed", 43, "seed 43");
  Json json = good;
  json["tensors"][0]["format"] = "tq99";
  expect_error(ErrorCode::kUnsupported, {"\"a.weight\"", "tq99"}, [&] { parse_manifest(json); });
}

TEST(NativeManifest, RefusesWrongValues) {
  const Json good = manifest_of({matrix()}).to_json();
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, Json>>{{"version", "1"},
                                                           {"version", 1.0},
                                                           {"version", -1},
                                                           {"seed", -1},
                                                           {"tool_version", 1},
                                                           {"tensors", Json::object()},
                                                           {"surprise", 1},
                                                           {"version", UINT64_MAX}}) {
    Json json = good;
    json[key] = value;
    expect_error(ErrorCode::kCorrupt, {"tq_config.json", key}, [&] { parse_manifest(json); });
  }
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"shape", {5}},
           {"shape", {5, 0}},
           {"shape", {-5, 192}},
           {"shape", "5x192"},
           {"shape", {5, 192.0}},
           {"shape", {1, 1, 5, 192}},
           {"shape", {5, int64_t{1} << 41}},
           {"shape", {int64_t{1} << 40, int64_t{1} << 40}},
           {"group", 48},
           {"group", 0},
           {"group", -64},
           {"group", "64"},
           {"in_padded", 256},
           {"in_padded", 191},
           {"in_padded", 0},
           {"surprise", 1},
           {"format", 3}}) {
    SCOPED_TRACE(std::string(key) + " " + value.dump());
    Json json = good;
    json["tensors"][0][key] = value;
    expect_error(ErrorCode::kCorrupt, {"tq_config.json", "a.weight"},
                 [&] { parse_manifest(json); });
  }
  for (const char* key : {"version", "seed", "tool_version", "tensors"}) {
    Json json = good;
    json.erase(key);
    expect_error(ErrorCode::kCorrupt, {key}, [&] { parse_manifest(json); });
  }
  Json json = good;
  json["tensors"].push_back(json["tensors"][0]);
  expect_error(ErrorCode::kCorrupt, {"\"a.weight\" twice"}, [&] { parse_manifest(json); });
  json["tensors"] = {1};
  expect_error(ErrorCode::kCorrupt, {"object"}, [&] { parse_manifest(json); });
  expect_error(ErrorCode::kCorrupt, {"object"}, [&] { parse_manifest(Json::array()); });
}

TEST(NativeManifest, RefusesWhatIsNotItsJson) {
  const std::string good = manifest_of({matrix()}).to_json().dump();
  EXPECT_EQ(NativeManifest::parse(good, "x").tensors.size(), 1u);
  const auto refused = [](const std::string& text, const std::string& part) {
    SCOPED_TRACE(text);
    expect_error(ErrorCode::kCorrupt, {"dir/tq_config.json", part},
                 [&] { NativeManifest::parse(text, "dir/tq_config.json"); });
  };
  for (const std::string& text :
       {std::string(), good.substr(0, good.size() - 1), good + "x", "\xef\xbb\xbf" + good,
        good + std::string(1, '\0'), "{\"encoder\": \"\xff\", " + good.substr(1),
        "{\"encoder\": 1e999, " + good.substr(1)}) {
    refused(text, "not valid JSON");
  }
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  refused("{\"hashes\": " + deep + ", " + good.substr(1), "not valid JSON");
  refused("{\"version\": 1, " + good.substr(1), "duplicate key \"version\"");
  refused("{\"encoder\": {\"a\": 1, \"a\": 2}, " + good.substr(1), "duplicate key \"a\"");
  std::string twice = good;
  twice.replace(twice.find("\"group\""), 7, "\"group\": 64, \"group\"");
  refused(twice, "duplicate key \"group\"");
}

TEST(NativeManifest, IsToldFromOtherDescriptions) {
  EXPECT_TRUE(is_native_manifest(R"({"tensors": [], "x": {"a": [1]}, "version": 1})"));
  for (const char* text :
       {R"({"version": 1})", R"({"bits": 3, "x": {"version": 1, "tensors": []}})",
        R"([{"version": 1, "tensors": []}])", "", "{", "7"}) {
    EXPECT_FALSE(is_native_manifest(text)) << text;
  }
}

TEST(NativeManifest, SkipsHashesUnlessAskedTo) {
  NativeManifest manifest = manifest_of({matrix()});
  manifest.hashes = {{"w", "00"}};
  const std::string text = manifest.to_json().dump();
  EXPECT_TRUE(NativeManifest::parse(text, "x").hashes.is_null());
  EXPECT_EQ(NativeManifest::parse(text, "x", ManifestHashes::kRead).hashes, manifest.hashes);
}

}  // namespace
}  // namespace tq
