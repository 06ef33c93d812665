// A long file of token ids: the time that reading it takes.
#include <gtest/gtest.h>

#include <string>

#include "cli/model_options.h"
#include "support/measured.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::TempDir;
using fixtures::write_bytes;

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
