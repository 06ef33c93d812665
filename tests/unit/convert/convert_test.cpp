#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "convert/destination.h"
#include "convert/layouts/layout.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() {
    options_ = quick_options(dir_ / "result");
    options_.n_threads = 2;
  }

  // The source's tensors with one element of one of them replaced.
  fs::path source_with(const std::string& name, int64_t element, float value) {
    std::vector<SourceTensor> tensors = tiny_model();
    SafetensorsBuilder builder;
    for (const SourceTensor& tensor : tensors) {
      int64_t n = 1;
      for (const int64_t dim : tensor.shape) n *= dim;
      std::vector<float> values = values_for(tensor.name, n);
      if (tensor.name == name) values[static_cast<size_t>(element)] = value;
      builder.add_floats(tensor.name, tensor.shape, values, tensor.dtype);
    }
    return write_source(dir_, builder, "changed");
  }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  ConvertOptions options_;
};

std::vector<float> read_all(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry* tensor = checkpoint.find(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<float> values(static_cast<size_t>(tensor->n_elements()));
  checkpoint.read_rows(*tensor, 0, tensor->n_rows(), values.data());
  return values;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  EncodeStats stats;
  for (size_t i = 0; i < a.size(); ++i) {
    stats.squared_error += std::pow(double{a[i]} - b[i], 2);
    stats.squared_norm += double{a[i]} * a[i];
  }
  return stats.rel_mse();
}

TEST_F(ConvertTest, WritesACheckpointThatReadsBack) {
  const auto source = open_checkpoint(source_);
  const ConvertReport report = convert(*source, options_);
  const auto result = open_checkpoint(options_.destination);
  EXPECT_EQ(result->kind(), CheckpointKind::kNative);
  ASSERT_EQ(result->tensors().size(), source->tensors().size());
  for (const TensorEntry& tensor : source->tensors()) {
    const TensorEntry* stored = result->find(tensor.name);
    ASSERT_NE(stored, nullptr) << tensor.name;
    EXPECT_EQ(stored->shape, tensor.shape) << tensor.name;
    const double error =
        relative_error(read_all(*source, tensor.name), read_all(*result, tensor.name));
    const double limit = stored->storage == "tq3" ? 0.04 : stored->storage == "tq8" ? 1e-3 : 0;
    EXPECT_LE(error, limit) << tensor.name;
    EXPECT_EQ(error == 0, limit == 0) << tensor.name;
  }
  EXPECT_EQ(result->find("model.embed_tokens.weight")->storage, "tq8");
  EXPECT_EQ(result->find("model.layers.0.mlp.experts.gate_up_proj")->storage, "tq3");
  EXPECT_EQ(report.n_parameters,
            40 * 128 * 2 + 128 * 3 + 128 * 128 + 64 * 128 + 4 * 128 + 2 * 192 * 128 + 4 * 32 * 64);
  for (const ReportRow& row : report.rows) {
    if (row.format != "tq3") continue;
    EXPECT_NEAR(row.stats.rel_mse(), 0.034, 0.004) << tensor_class_name(row.tensor_class);
  }
  EXPECT_EQ(result->config()["quantization_config"]["quant_method"], "turboquant");
  EXPECT_EQ(result->config()["hidden_size"], 128);
  EXPECT_EQ(read_bytes(options_.destination / "tokenizer.json"),
            read_bytes(source_ / "tokenizer.json"));
  EXPECT_EQ(contents(options_.destination).size(), 4u);  // nothing else is left
}

TEST_F(ConvertTest, AHeadOfItsOwnIsStoredAndTheConfigSaysSo) {
  write_bytes(source_ / "config.json", R"({"model_type": "llama", "tie_word_embeddings": true})");
  convert_folder(source_, options_);
  const auto result = open_checkpoint(options_.destination);
  EXPECT_NE(result->find("lm_head.weight"), nullptr);
  EXPECT_EQ(parse_json(read_bytes(options_.destination / "config.json"), "")["tie_word_embeddings"],
            false);
}

TEST_F(ConvertTest, ACopyOfTheEmbeddingTableIsNotStored) {
  const std::vector<float> table = values_for("table", 40 * 128);
  SafetensorsBuilder builder;
  builder.add_floats("model.embed_tokens.weight", {40, 128}, table)
      .add_floats("lm_head.weight", {40, 128}, table)
      .write(source_ / "model.safetensors");
  int64_t total = 0;
  options_.progress = [&](const ConvertProgress& now) {
    total = now.total_bytes;
    EXPECT_LE(now.done_bytes, now.total_bytes);
  };
  const ConvertReport report = convert_folder(source_, options_);
  EXPECT_EQ(report.n_parameters, 40 * 128);
  EXPECT_EQ(total, 40 * 128 * 4);
  const auto result = open_checkpoint(options_.destination);
  EXPECT_EQ(result->find("lm_head.weight"), nullptr);
  EXPECT_EQ(result->tensors().size(), 1u);
  EXPECT_EQ(result->config()["tie_word_embeddings"], true);
}

TEST_F(ConvertTest, ReportedErrorIsTheTrueOne) {
  const auto source = open_checkpoint(source_);
  const ConvertReport report = convert(*source, options_);
  const auto result = open_checkpoint(options_.destination);
  const std::string name = "lm_head.weight";  // the only one of its class
  for (const ReportRow& row : report.rows) {
    if (row.tensor_class != TensorClass::kHead) continue;
    const double error = relative_error(read_all(*source, name), read_all(*result, name));
    EXPECT_NEAR(row.stats.rel_mse(), error, 0.02 * error);
    return;
  }
  FAIL() << "no row for the head";
}

TEST_F(ConvertTest, ReportsWhatEncodingAndWritingTook) {
  const ConvertReport report = convert_folder(source_, options_);
  int64_t encoded = 0;
  int64_t written = 0;
  for (const ReportRow& row : report.rows) {
    encoded += row.lossy ? row.n_parameters : 0;
    written += row.lossy ? row.stored_bytes : 0;
  }
  EXPECT_EQ(report.work.n_weights, encoded);
  EXPECT_EQ(report.work.written_bytes, written);
  EXPECT_EQ(report.work.n_threads, 2);
  EXPECT_GT(report.work.encode_cpu_seconds, 0);
  EXPECT_EQ(report.work.encode_seconds(), report.work.encode_cpu_seconds / 2);
  EXPECT_GT(report.work.write_seconds, 0);
  EXPECT_LE(report.work.write_seconds, report.seconds);
}

// A synthetic model has no files: its path lies in no folder, whatever it looks like.
TEST_F(ConvertTest, SourcesWithoutFilesOverlapNothing) {
  const auto source = open_checkpoint("synth:smollm2-135m");
  EXPECT_NO_THROW(Destination(".").refuse_overlap(*source));
  EXPECT_NO_THROW(Destination("synth:smollm2-135m").refuse_overlap(*source));
}

TEST_F(ConvertTest, BytesDoNotDependOnThreads) {
  // Several chunks and blocks' worth of rows, with a tail.
  const fs::path source = write_source(
      dir_, build({{"a.mlp.up_proj.weight", {2055, 320}}, {"a.norm.weight", {64}}}), "large");
  options_.n_threads = 1;
  convert_folder(source, options_);
  const auto one = contents(options_.destination);
  options_.destination = dir_ / "other";
  options_.n_threads = 5;
  convert_folder(source, options_);
  EXPECT_EQ(contents(options_.destination), one);
}

TEST_F(ConvertTest, RecordsNoPathsOfThisMachine) {
  convert_folder(source_, options_);
  for (const auto& [name, bytes] : contents(options_.destination)) {
    EXPECT_THAT(bytes, Not(HasSubstr(dir_.path().string()))) << name;
  }
}

TEST_F(ConvertTest, RefusesNonFiniteWeightsByName) {
  const std::string name = "model.layers.0.mlp.experts.gate_up_proj";
  const int64_t element = (2 * 32 + 5) * 64 + 7;
  const fs::path source = source_with(name, element, std::nanf(""));
  const Error error = conversion_error(source, options_);
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), AllOf(HasSubstr(name), HasSubstr("expert 2, row 5, column 7"),
                                  HasSubstr("nan"), HasSubstr("--allow-nan")));
  EXPECT_FALSE(fs::exists(options_.destination));

  options_.allow_nan = true;
  EXPECT_EQ(convert_folder(source, options_).non_finite, 1);
  const auto values = read_all(*open_checkpoint(options_.destination), name);
  EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }));
}

TEST_F(ConvertTest, RefusesNonFiniteWeightsInCopiesToo) {
  const std::string name = "model.norm.weight";
  const fs::path source = source_with(name, 3, std::numeric_limits<float>::infinity());
  EXPECT_THAT(conversion_error(source, options_).what(),
              AllOf(HasSubstr(name), HasSubstr("row 0, column 3"), HasSubstr("inf")));
  options_.allow_nan = true;
  EXPECT_EQ(convert_folder(source, options_).non_finite, 1);
  const auto values = read_all(*open_checkpoint(options_.destination), name);
  EXPECT_EQ(values[3], 0);
  EXPECT_NE(values[2], 0);
}

TEST_F(ConvertTest, RefusesWeightsBeyondTheFormat) {
  const std::string name = "model.layers.0.self_attn.k_proj.weight";
  const fs::path source = source_with(name, 11, 1e7f);
  const Error gain = conversion_error(source, options_);
  EXPECT_EQ(gain.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(gain.what(), AllOf(HasSubstr(name), HasSubstr("65504")));
  EXPECT_FALSE(fs::exists(options_.destination));

  options_.plan.rules = {{"*.k_proj.weight", "f16"}};
  const Error half = conversion_error(source, options_);
  EXPECT_EQ(half.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(half.what(), AllOf(HasSubstr(name), HasSubstr("range of f16")));

  options_.plan.rules = {{"*.k_proj.weight", "bf16"}};
  EXPECT_NO_THROW(convert_folder(source, options_));
}

TEST_F(ConvertTest, ChecksDiskSpaceFirst) {
  options_.hooks.free_bytes = [](const fs::path&) { return uint64_t{1000}; };
  const Error error = conversion_error(source_, options_);
  EXPECT_EQ(error.code(), ErrorCode::kNoSpace);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("GB needed"), HasSubstr("0.000 GB free")));
  EXPECT_FALSE(fs::exists(options_.destination));
}

TEST_F(ConvertTest, NeverTouchesTheSource) {
  const auto before = contents(source_);
  fs::create_directory_symlink(source_, dir_ / "link");
  for (const fs::path& destination :
       {source_, source_ / "inside", dir_.path(), dir_ / "link", dir_ / "link" / "inside",
        source_ / ".." / "source", fs::path(source_.string() + "/")}) {
    options_.destination = destination;
    options_.overwrite = true;
    const Error error = conversion_error(source_, options_);
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << destination;
    EXPECT_THAT(error.what(), HasSubstr("lies in the source")) << destination;
  }
  options_.destination = source_;
  EXPECT_THAT(conversion_error(source_ / "model.safetensors", options_).what(),
              HasSubstr("lies in the source"));
  EXPECT_EQ(contents(source_), before);
}

TEST_F(ConvertTest, SourceFilesBehindLinksAreSafeToo) {
  // As a download cache has it: a folder of links to files elsewhere.
  fs::create_directories(dir_ / "blobs");
  fs::rename(source_ / "model.safetensors", dir_ / "blobs" / "weights");
  fs::create_symlink(dir_ / "blobs" / "weights", source_ / "model.safetensors");
  options_.destination = dir_ / "blobs";
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("lies in the source"));
}

TEST_F(ConvertTest, LeavesOtherPeoplesFilesAlone) {
  fs::create_directories(options_.destination);
  write_bytes(options_.destination / "model.safetensors", "precious");
  options_.overwrite = true;
  EXPECT_EQ(conversion_error(source_, options_).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(contents(options_.destination).size(), 1u);

  options_.destination = dir_ / "file";
  write_bytes(options_.destination, "precious");
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("not a folder"));
  options_.destination = dir_ / "file" / "below";
  EXPECT_EQ(conversion_error(source_, options_).code(), ErrorCode::kIo);
  EXPECT_EQ(read_bytes(dir_ / "file"), "precious");
}

TEST_F(ConvertTest, OverwritesOnlyWhenAskedAndCompletely) {
  options_.shard_bytes = 30'000;
  convert_folder(source_, options_);
  ASSERT_TRUE(fs::exists(options_.destination / "model.safetensors.index.json"));
  const Error error = conversion_error(source_, options_);
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("--overwrite"));

  // Another source: one file, no tokenizer. Nothing of the old checkpoint may stay.
  write_bytes(options_.destination / "notes.md", "mine");
  fs::remove(source_ / "tokenizer.json");
  options_.overwrite = true;
  options_.shard_bytes = 1'000'000;
  convert_folder(source_, options_);
  auto files = contents(options_.destination);
  EXPECT_EQ(files.erase("notes.md"), 1u);
  options_.destination = dir_ / "fresh";
  convert_folder(source_, options_);
  EXPECT_EQ(files, contents(options_.destination));
}

TEST_F(ConvertTest, CopiesPlanesThatHaveTheFormat) {
  convert_folder(source_, options_);
  const fs::path first = options_.destination;
  options_.destination = dir_ / "again";
  convert_folder(first, options_);
  EXPECT_EQ(read_bytes(first / "model.safetensors"),
            read_bytes(options_.destination / "model.safetensors"));
  EXPECT_EQ(open_checkpoint(options_.destination)->config()["quantization_config"],
            open_checkpoint(first)->config()["quantization_config"]);
}

TEST_F(ConvertTest, PadsRowsThatNoGroupDivides) {
  const fs::path source = write_source(dir_, build({{"a.mlp.up_proj.weight", {20, 100}}}), "odd");
  convert_folder(source, options_);
  const auto result = open_checkpoint(options_.destination);
  EXPECT_EQ(result->tensors()[0].storage, "tq3");
  EXPECT_LT(relative_error(read_all(*open_checkpoint(source), "a.mlp.up_proj.weight"),
                           read_all(*result, "a.mlp.up_proj.weight")),
            0.045);
}

TEST_F(ConvertTest, ReferenceLayoutIsReadAsSuch) {
  options_.plan.layout = &kTurboquantVllmLayout;
  EXPECT_THAT(conversion_error(source_, options_).what(), HasSubstr("--effort fast"));
  options_.effort.reset();
  convert_folder(source_, options_);
  const auto source = open_checkpoint(source_);
  const auto result = open_checkpoint(options_.destination);
  EXPECT_EQ(result->kind(), CheckpointKind::kReference);
  for (const char* name :
       {"model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"}) {
    EXPECT_EQ(result->find(name)->shape, source->find(name)->shape);
    EXPECT_NEAR(relative_error(read_all(*source, name), read_all(*result, name)), 0.034, 0.004);
  }
  EXPECT_EQ(result->find("model.norm.weight")->storage, "f16");
  const Json json =
      parse_json(read_bytes(options_.destination / "tq_config.json"), "tq_config.json");
  EXPECT_EQ(json["format"], "tq3_native");
  EXPECT_EQ(json["bits"], 3);
  EXPECT_EQ(json["group_size"], 128);
  EXPECT_EQ(json["quantizer_seed"], 42);
  EXPECT_EQ(json["compressed_layers"], 5);
  EXPECT_EQ(json["original_model"], "source");
  EXPECT_EQ(json["orig_in_dims"]["model.layers.0.mlp.down_proj.weight"], 192);
  EXPECT_FALSE(result->config().contains("quantization_config"));
}

TEST_F(ConvertTest, EmptyCheckpointIsRefused) {
  const fs::path source = write_source(dir_, SafetensorsBuilder(), "empty");
  EXPECT_EQ(conversion_error(source, options_).code(), ErrorCode::kUnsupported);
}

TEST_F(ConvertTest, ProgressReachesTheTotal) {
  ConvertProgress last;
  options_.progress = [&](const ConvertProgress& progress) {
    EXPECT_GE(progress.done_bytes, last.done_bytes);
    last = progress;
  };
  const ConvertReport report = convert_folder(source_, options_);
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_EQ(last.total_bytes, report.source_bytes);
}

}  // namespace
}  // namespace tq
