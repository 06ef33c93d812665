// Every bit of a converted checkpoint's folder: tq verify notices when one has changed. 200 flips
// here; TQ_FLIPS=1000 in the environment makes more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "convert/convert.h"
#include "convert/verify.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

constexpr size_t kMinFlips = 200;
constexpr size_t kMinFlipsPerFile = 10;

bool noticed(const fs::path& folder) {
  try {
    return !verify_checkpoint(*open_checkpoint(folder)).sound();
  } catch (const Error&) {
    return true;  // cannot even be opened
  }
}

TEST(DamageTest, EveryFlippedBitIsFound) {
  const char* asked = std::getenv("TQ_FLIPS");  // NOLINT(concurrency-mt-unsafe)
  const size_t n_flips = asked != nullptr ? std::strtoul(asked, nullptr, 10) : kMinFlips;
  const TempDir dir;
  const fs::path source = write_source(dir, build(tiny_model()));
  write_bytes(source / "generation_config.json", R"({"temperature": 0.5})");
  fs::create_directory(source / "additional_chat_templates");
  write_bytes(source / "additional_chat_templates/tool.jinja", "{{ messages }} of a tool\n");
  ConvertOptions options = quick_options(dir / "result");
  options.shard_bytes = 30'000;
  convert_folder(source, options);
  ASSERT_FALSE(noticed(options.destination));

  const std::map<std::string, std::string> files = contents(options.destination);
  ASSERT_GE(files.size(), 8u);  // two shards, their index, four small files, the description
  uint64_t n_bytes = 0;
  for (const auto& [name, bytes] : files) n_bytes += bytes.size();
  std::mt19937_64 random(19);
  size_t flips = 0;
  for (const auto& [name, bytes] : files) {
    const size_t n = std::max(kMinFlipsPerFile, n_flips * bytes.size() / n_bytes + 1);
    for (size_t i = 0; i < n; ++i, ++flips) {
      const size_t bit = random() % (8 * bytes.size());
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      write_bytes(options.destination / name, damaged);
      EXPECT_TRUE(noticed(options.destination)) << name << ": bit " << bit;
    }
    write_bytes(options.destination / name, bytes);
  }
  EXPECT_GE(flips, n_flips);
  EXPECT_FALSE(noticed(options.destination));
  RecordProperty("flips", static_cast<int>(flips));
}

}  // namespace
}  // namespace tq
