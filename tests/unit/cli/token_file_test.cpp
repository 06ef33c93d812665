#include <gtest/gtest.h>

#include <string>

#include "cli/model_options.h"
#include "support/expect_error.h"
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

}  // namespace
}  // namespace tq
