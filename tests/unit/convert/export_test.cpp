#include "convert/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/float16.h"
#include "convert/destination.h"
#include "convert/journal.h"
#include "support/expect_error.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

// A checkpoint like a synthetic one: plain values that can be read but have no bytes.
class Bytesless : public Checkpoint {
 public:
  explicit Bytesless(const Checkpoint& inner)
      : Checkpoint(CheckpointKind::kSynthetic, "synth:test"), inner_(inner) {
    config_ = inner.config();
    std::vector<TensorEntry> tensors(inner.tensors().begin(), inner.tensors().end());
    for (TensorEntry& tensor : tensors) tensor.dtype.reset();
    set_tensors(std::move(tensors));
  }
  std::vector<std::string> text_files() const override { return inner_.text_files(); }
  std::optional<std::string> text_file(std::string_view name) const override {
    return inner_.text_file(name);
  }
  void read_rows(const TensorEntry& tensor, int64_t row, int64_t n, float* out) const override {
    inner_.read_rows(inner_.tensors()[static_cast<size_t>(tensor.index)], row, n, out);
  }
  std::optional<WeightView> view(const TensorEntry&) const override { return std::nullopt; }
  std::span<const uint8_t> raw(const TensorEntry&) const override {
    throw std::logic_error("no bytes");
  }
  void drop_rows(const TensorEntry&, int64_t, int64_t) const override {}
  std::vector<fs::path> files() const override { return {}; }

 private:
  const Checkpoint& inner_;
};

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() { options_.destination = dir_ / "result"; }

  std::string bytes(const Checkpoint& checkpoint, const std::string& name) {
    const TensorEntry* tensor = checkpoint.find(name);
    if (tensor == nullptr) return "no such tensor";
    const auto raw = checkpoint.raw(*tensor);
    return std::string(raw.begin(), raw.end()) + shape_string(tensor->shape) + tensor->storage;
  }
  void expect_equal_to_source(const fs::path& folder) {
    const auto result = open_checkpoint(folder);
    EXPECT_EQ(result->kind(), CheckpointKind::kHuggingFace);
    EXPECT_EQ(result->config(), source_->config());
    EXPECT_EQ(result->text_file("tokenizer.json"), source_->text_file("tokenizer.json"));
    ASSERT_EQ(result->tensors().size(), source_->tensors().size());
    for (const TensorEntry& tensor : source_->tensors()) {
      EXPECT_EQ(bytes(*result, tensor.name), bytes(*source_, tensor.name)) << tensor.name;
    }
  }

  TempDir dir_;
  std::unique_ptr<Checkpoint> source_ = open_checkpoint(write_source(dir_, build(tiny_model())));
  ExportOptions options_;
};

TEST_F(ExportTest, WritesEveryTensorInItsOwnType) {
  const ExportReport report = export_checkpoint(Bytesless(*source_), options_);
  expect_equal_to_source(options_.destination);
  EXPECT_EQ(report.n_tensors, static_cast<int64_t>(tiny_model().size()));
  EXPECT_EQ(report.n_files, 1);
  EXPECT_EQ(report.stored_bytes,
            static_cast<int64_t>(fs::file_size(options_.destination / "model.safetensors")));
  EXPECT_EQ(contents(options_.destination).size(), 3u);  // nothing else is left
}

TEST_F(ExportTest, SplitsIntoShards) {
  options_.shard_bytes = 50'000;
  const ExportReport report = export_checkpoint(Bytesless(*source_), options_);
  EXPECT_GT(report.n_files, 2);
  EXPECT_TRUE(fs::exists(options_.destination / "model.safetensors.index.json"));
  expect_equal_to_source(options_.destination);
}

TEST_F(ExportTest, NeedsAnEmptyFolder) {
  fs::create_directories(options_.destination);
  write_bytes(options_.destination / "notes.txt", "mine");
  const auto run = [&] { export_checkpoint(Bytesless(*source_), options_); };
  expect_error(ErrorCode::kInvalidArgument, {"result", "empty or a new folder"}, run);
  fs::remove(options_.destination / "notes.txt");
  fs::create_directories(options_.destination / kWorkFolderName);
  const FolderHandle work(options_.destination / kWorkFolderName);
  Journal::create(work)->restart({{"option", {{"format", "tq3"}}}});
  expect_error(ErrorCode::kInvalidArgument, {"unfinished conversion"}, run);
  fs::remove_all(options_.destination);
  write_bytes(options_.destination, "a file");
  expect_error(ErrorCode::kInvalidArgument, {"not a folder"}, run);
  EXPECT_EQ(read_bytes(options_.destination), "a file");
}

// What a killed export leaves does not stand in the way of the next.
TEST_F(ExportTest, StartsOverWhatWasKilled) {
  const fs::path killed = dir_ / "killed";
  ExportOptions options = options_;
  options.progress = [&](const ConvertProgress&) {
    if (!fs::exists(killed)) fs::copy(options.destination, killed, fs::copy_options::recursive);
  };
  export_checkpoint(Bytesless(*source_), options);
  ASSERT_TRUE(fs::exists(killed / kWorkFolderName / "model.safetensors"));
  options_.destination = killed;
  export_checkpoint(Bytesless(*source_), options_);
  expect_equal_to_source(killed);
  EXPECT_FALSE(fs::exists(killed / kWorkFolderName));
}

TEST_F(ExportTest, ChecksDiskSpaceFirst) {
  options_.hooks.free_bytes = [](const fs::path&) { return uint64_t{1000}; };
  expect_error(ErrorCode::kNoSpace, {"GB needed", "0.000 GB free"},
               [&] { export_checkpoint(Bytesless(*source_), options_); });
  EXPECT_FALSE(fs::exists(options_.destination));
}

TEST_F(ExportTest, LeavesNothingWhenStopped) {
  int blocks = 0;
  options_.cancelled = [&] { return ++blocks == 3; };
  expect_error(ErrorCode::kCancelled, {"stopped"},
               [&] { export_checkpoint(Bytesless(*source_), options_); });
  EXPECT_FALSE(fs::exists(options_.destination));
}

TEST_F(ExportTest, CompressedWeightsBecomeF16) {
  ConvertOptions convert_options{.destination = dir_ / "packed"};
  convert_options.plan.format = "tq3";
  convert(*source_, convert_options);
  const auto packed = open_checkpoint(dir_ / "packed");
  export_checkpoint(*packed, options_);
  const auto plain = open_checkpoint(options_.destination);
  EXPECT_EQ(plain->kind(), CheckpointKind::kHuggingFace);
  EXPECT_FALSE(plain->config().contains("quantization_config"));
  int n_unpacked = 0;
  for (const TensorEntry& tensor : packed->tensors()) {
    const TensorEntry* written = plain->find(tensor.name);
    ASSERT_NE(written, nullptr) << tensor.name;
    EXPECT_EQ(written->shape, tensor.shape);
    n_unpacked += tensor.dtype ? 0 : 1;
    EXPECT_EQ(written->dtype, tensor.dtype.value_or(DType::kF16)) << tensor.name;
    std::vector<float> before(static_cast<size_t>(tensor.n_elements()));
    std::vector<float> after(before.size());
    packed->read_rows(tensor, 0, tensor.n_rows(), before.data());
    plain->read_rows(*written, 0, tensor.n_rows(), after.data());
    for (float& value : before) value = tensor.dtype ? value : f16_to_f32(f32_to_f16(value));
    EXPECT_EQ(before, after) << tensor.name;
  }
  EXPECT_GT(n_unpacked, 0);
}

TEST_F(ExportTest, ProgressReachesTheTotal) {
  ConvertProgress last;
  options_.progress = [&](const ConvertProgress& now) {
    EXPECT_GE(now.done_bytes, last.done_bytes);
    last = now;
  };
  export_checkpoint(Bytesless(*source_), options_);
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_GT(last.total_bytes, 0);
}

}  // namespace
}  // namespace tq
