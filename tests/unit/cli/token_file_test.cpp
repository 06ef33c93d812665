#include <gtest/gtest.h>

#include <string>

#include "cli/model_options.h"
#include "support/expect_error.h"
#include "support/measured.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;
using fixtures::write_bytes;

TEST(TokenFile, RefusesWhatIsNoId) {
  const TempDir dir;
  const std::string path = (dir / "ids.json").string();
  const auto read = [&](const std::string& text) {
    write_bytes(path, text);
    return read_token_file(path, 100);
  };
  EXPECT_EQ(read("[0, 99]"), (std::vector<int32_t>{0, 99}));
  for (const char* id : {"100", "-1", "4294967358", "18446744073709551615"}) {
    expect_error(ErrorCode::kInvalidArgument, {path, id}, [&] { read(fmt::format("[{}]", id)); });
  }
  for (const char* id : {"1.5", "1e300", "\"1\"", "[1]"}) {
    expect_error(ErrorCode::kCorrupt, {path, "not a token id"},
                 [&] { read(fmt::format("[{}]", id)); });
  }
  expect_error(ErrorCode::kCorrupt, {path}, [&] { read("{}"); });
}

TEST(TokenFile, TakesLinearTime) {
  constexpr int kIds = 120'000;  // 480 kB, which took 26 s once
  std::string text = "[1";
  for (int i = 1; i < kIds; ++i) text += ",  1";
  const TempDir dir;
  write_bytes(dir / "ids.json", text + "]");
  const double begin = fixtures::thread_seconds();
  EXPECT_EQ(read_token_file((dir / "ids.json").string(), 100).size(), size_t{kIds});
  if (fixtures::kMeasured) {
    EXPECT_LT(fixtures::thread_seconds() - begin, 1);
  }
}

}  // namespace
}  // namespace tq
