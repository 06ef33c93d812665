#include "engine/reference_logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "support/expect_error.h"
#include "support/kv_formats.h"
#include "support/temp_dir.h"
#include "unit/engine/toy_model.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::read_bytes;
using fixtures::TempDir;
using fixtures::write_bytes;

constexpr int64_t kVocab = kToyVocab;

ReferenceText some_text(bool has_prefix) {
  ReferenceText text{.ids = {4, 8, 1, 9, 2, 7, 7, 3}, .window = 4, .stride = 3};
  if (has_prefix) text.prefix = {20};
  return text;
}

ReferenceModel some_model() {
  return {.name = "toy", .arch = "toy", .n_layers = 2, .hidden = 8, .vocab = kVocab};
}

int64_t n_scored(const ReferenceText& text) {
  int64_t n = 0;
  for (const EvalWindow& window : text.text().windows) n += window.end - window.first_scored;
  return n;
}

// Logits from `low` to `low + range` for each scored token.
std::vector<std::vector<float>> random_rows(int64_t n, float low, float range) {
  std::mt19937 random(5);
  std::vector<std::vector<float>> rows(static_cast<size_t>(n));
  for (auto& row : rows) {
    for (int64_t i = 0; i < kVocab; ++i) {
      row.push_back(low + range * static_cast<float>(random() % 10007) / 10007);
    }
  }
  return rows;
}

void write_rows(const fs::path& path, const ReferenceText& text,
                const std::vector<std::vector<float>>& rows) {
  ReferenceWriter writer(path, text, some_model(), {{"made", "here"}});
  size_t row = 0;
  for (const EvalWindow& window : text.text().windows) {
    for (int64_t t = window.first_scored; t < window.end; ++t) {
      writer.add(text.ids[static_cast<size_t>(t)], rows[row++]);
    }
  }
  writer.finish();
}

TEST(ReferenceLogits, GiveBackWhatWasSaved) {
  const TempDir dir;
  for (const bool has_prefix : {false, true}) {
    const ReferenceText text = some_text(has_prefix);
    const auto rows = random_rows(n_scored(text), -5, 20);
    write_rows(dir / "saved", text, rows);
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);  // nothing beside it
    ReferenceReader reader(dir / "saved");
    EXPECT_EQ(reader.text().ids, text.ids);
    EXPECT_EQ(reader.text().prefix, text.prefix);
    EXPECT_EQ(reader.text().window, text.window);
    EXPECT_EQ(reader.text().stride, text.stride);
    EXPECT_EQ(reader.model().name, "toy");
    EXPECT_EQ(reader.model().vocab, kVocab);
    EXPECT_EQ(reader.about()["made"], "here");
    ASSERT_EQ(reader.n_rows(), static_cast<int64_t>(rows.size()));
    int64_t n_read = 0;
    for (const auto& logits : rows) {
      const ReferenceRow row = reader.row(n_read++);
      const double sum = log_sum_exp(logits);
      EXPECT_DOUBLE_EQ(row.nll, sum - logits[static_cast<size_t>(row.token)]);
      EXPECT_EQ(row.best, argmax(logits));
      const float top = logits[static_cast<size_t>(row.best)];
      for (size_t i = 0; i < logits.size(); ++i) {
        // Half a step of at most 20 / 65,535 nats, and the rounding of fp32.
        EXPECT_NEAR(row.log_p[i], logits[i] - top, 20.0 / 65535 / 2 + 1e-5);
      }
    }
  }
}

TEST(ReferenceLogits, RowsOfEqualAndOfDistantLogits) {
  const TempDir dir;
  const ReferenceText text = some_text(false);
  auto rows = random_rows(n_scored(text), 3, 0);  // all the same
  rows[1][7] = 1e6F;                              // one takes all
  rows[2][7] = -1e6F;
  write_rows(dir / "saved", text, rows);
  ReferenceReader reader(dir / "saved");
  for (const float log_p : reader.row(0).log_p) EXPECT_EQ(log_p, 0);
  const ReferenceRow one = reader.row(1);
  EXPECT_EQ(one.best, 7);
  EXPECT_EQ(one.log_p[7], 0);
  EXPECT_NEAR(one.log_p[0], -40, 1e-4);
  const ReferenceRow none = reader.row(2);
  EXPECT_EQ(none.log_p[0], 0);
  EXPECT_NEAR(none.log_p[7], -40, 1e-4);
}

TEST(ReferenceLogits, TheDivergenceIsThatOfTheModels) {
  const TempDir dir;
  LoadOptions options;
  options.max_batch_tokens = 8;
  options.max_logit_rows = 3;
  options.max_sequences = 1;
  options.max_context = 64;
  ToyModel model(options);
  LogitReader reader(model, fixtures::kKvF32, 16);
  const ReferenceText text = some_text(true);
  ReferenceWriter writer(dir / "saved", text, some_model(), {});
  RunningMean nll;
  visit_scored(reader, text.text(), {}, [&](int32_t token, std::span<const float> logits) {
    nll.add(log_sum_exp(logits) - logits[static_cast<size_t>(token)]);
    writer.add(token, logits);
  });
  writer.finish();
  ReferenceReader saved(dir / "saved");
  const KldResult result = evaluate_kld(reader, saved, {});
  EXPECT_EQ(result.kld.n(), 8);
  EXPECT_NEAR(result.kld.mean(), 0, 1e-8);
  EXPECT_EQ(result.same_top1.mean(), 1);
  EXPECT_EQ(result.nll.mean(), nll.mean());
  EXPECT_EQ(result.reference_nll.mean(), nll.mean());
}

TEST(ReferenceLogits, NoPlantedLinkIsFollowedAndADeviceStays) {
  const TempDir dir;
  write_bytes(dir / "precious", "precious");
  fs::create_symlink(dir / "precious", dir / "saved.tmp");
  const ReferenceText text = some_text(false);
  const auto rows = random_rows(n_scored(text), -5, 20);
  write_rows(dir / "saved", text, rows);
  EXPECT_EQ(read_bytes(dir / "precious"), "precious");
  write_rows("/dev/null", text, rows);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(ReferenceLogits, AnUnfinishedFileLeavesNothing) {
  const TempDir dir;
  {
    const ReferenceText text = some_text(false);
    ReferenceWriter writer(dir / "saved", text, some_model(), {});
    writer.add(8, random_rows(1, 0, 1)[0]);
    EXPECT_FALSE(fs::exists(dir / "saved"));
    EXPECT_FALSE(fs::is_empty(dir.path()));
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(ReferenceLogits, TooMuchIsRefusedBeforeItIsWritten) {
  ReferenceText text{.ids = std::vector<int32_t>(2'000'000), .window = 512, .stride = 512};
  expect_error(ErrorCode::kInvalidArgument, {"--max-tokens"},
               [&] { reference_bytes(text, 262144); });
  text.ids.resize(1000);
  EXPECT_EQ(reference_bytes(text, 10), (1000 - 2) * (24 + 24) + 4 * 1000);
}

TEST(ReferenceLogits, EveryCutIsFound) {
  const TempDir dir;
  const ReferenceText text = some_text(true);
  write_rows(dir / "saved", text, random_rows(n_scored(text), 0, 9));
  const std::string whole = read_bytes(dir / "saved");
  for (size_t size = 0; size < whole.size(); size += size < 1100 ? 1 : 37) {
    write_bytes(dir / "cut", whole.substr(0, size));
    expect_error(ErrorCode::kCorrupt, {(dir / "cut").string()},
                 [&] { ReferenceReader{dir / "cut"}; });
  }
}

// A changed byte of the header, the ids or the head of a row is found, or changes only a value.
TEST(ReferenceLogits, ChangedBytesNeverCrash) {
  const TempDir dir;
  const ReferenceText text = some_text(true);
  write_rows(dir / "saved", text, random_rows(n_scored(text), 0, 9));
  const std::string whole = read_bytes(dir / "saved");
  std::mt19937 random(1);
  int n_found = 0;
  for (int i = 0; i < 600; ++i) {
    std::string changed = whole;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    write_bytes(dir / "changed", changed);
    try {
      ReferenceReader reader(dir / "changed");
      for (int64_t row = 0; row < reader.n_rows(); ++row) reader.row(row);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
      ++n_found;
    }
  }
  EXPECT_GT(n_found, 60);  // of the header, ids and row heads
}

TEST(ReferenceLogits, LyingHeaders) {
  const TempDir dir;
  const ReferenceText text = some_text(true);
  write_rows(dir / "saved", text, random_rows(n_scored(text), 0, 9));
  const std::string whole = read_bytes(dir / "saved");
  const auto lie = [&](std::string_view from, std::string_view to) {
    std::string changed = whole;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    // The header is padded with spaces: it stays as long as it was.
    const auto grown =
        static_cast<std::ptrdiff_t>(to.size()) - static_cast<std::ptrdiff_t>(from.size());
    const size_t pad = changed.find("}} ");
    if (grown > 0) changed.erase(pad + 2, static_cast<size_t>(grown));
    if (grown < 0) changed.insert(pad + 2, static_cast<size_t>(-grown), ' ');
    write_bytes(dir / "lie", changed);
    expect_error(ErrorCode::kCorrupt, {(dir / "lie").string()},
                 [&] { ReferenceReader{dir / "lie"}; });
  };
  lie("\"ids\":8", "\"ids\":-8");
  lie("\"ids\":8", "\"ids\":8.5");
  lie("\"ids\":8", "\"ids\":4294967304");
  lie("\"rows\":8", "\"rows\":7");
  lie("\"rows\":8", "\"rows\":0");
  lie("\"prefix\":1", "\"prefix\":2");
  lie("\"window\":4", "\"window\":0");
  lie("\"stride\":3", "\"stride\":5");
  lie("\"vocab\":40", "\"vocab\":0");
  lie("\"vocab\":40", "\"vocab\":4294967336");
  lie("\"vocab\":40", "\"vocab\":48");
  lie("\"layers\":2", "\"layers\":\"\"");
  lie("\"arch\":\"toy\"", "\"arch\":7");
}

}  // namespace
}  // namespace tq
