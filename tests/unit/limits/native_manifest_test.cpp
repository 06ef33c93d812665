// The manifest of a very large checkpoint: time and memory that reading it takes.
#include "io/native/native_manifest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "support/measured.h"

namespace tq {
namespace {

// As tq convert writes one for 100,000 matrices: 38 MB, most of it hashes.
std::string large_manifest() {
  constexpr int kTensors = 100'000;
  const std::string hash(32, 'a');
  std::string hashes;
  std::string tensors;
  for (int i = 0; i < kTensors; ++i) {
    const std::string name =
        fmt::format("model.layers.{}.mlp.experts.{}.up_proj.weight", i / 1000, i % 1000);
    const char* comma = i > 0 ? ",\n" : "";
    hashes += fmt::format("{0}  \"{1}.tq_packed\": \"{2}\",\n  \"{1}.tq_scales\": \"{2}\"", comma,
                          name, hash);
    tensors += fmt::format(
        "{}  {{\"name\": \"{}\", \"format\": \"tq3\", \"shape\": [1536, 4096], \"group\": 128, "
        "\"in_padded\": 4096}}",
        comma, name);
  }
  return fmt::format(
      "{{\"version\": 1, \"seed\": 42, \"tool_version\": \"test\", \"hashes\": {{{}}}, "
      "\"tensors\": "
      "[{}]}}",
      hashes, tensors);
}

TEST(NativeManifest, AHundredThousandTensorsTakeLittleTime) {
  const std::string text = large_manifest();
  const double begin = fixtures::thread_seconds();
  ASSERT_TRUE(is_native_manifest(text));
  EXPECT_EQ(NativeManifest::parse(text, "large.json").tensors.size(), 100'000u);
  // 0.2 s are asked for, and a tree of the text took 1.2 s.
  if (fixtures::kMeasured) {
    EXPECT_LT(fixtures::thread_seconds() - begin, 0.6);
  }
}

// "VmHWM", in kB.
long memory_of_this_process(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
  }
  return 0;
}

TEST(NativeManifest, AHundredThousandTensorsTakeLittleMemory) {
  if (!fixtures::kMeasured)
    GTEST_SKIP() << "instruments take memory of their own: the release build runs this";
  const auto parse_and_leave = [] {  // in a process of its own, whose peak is that of the parser
    std::string text = large_manifest();
    text.reserve(text.size() + 64);  // as files are read
    const long before = memory_of_this_process("VmHWM");
    const long built = memory_of_this_process("VmRSS");
    (void)is_native_manifest(text);
    (void)NativeManifest::parse(text, "large.json");
    const long peak = memory_of_this_process("VmHWM");
    const bool measures = built > 0 && peak > built && peak >= before;
    // Besides the text three times as much.
    const bool fits = (peak - built) * 1024 < 3 * static_cast<long>(text.size());
    std::_Exit(measures && fits ? 0 : 1);
  };
  EXPECT_EXIT(parse_and_leave(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tq
