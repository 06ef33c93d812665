// What fuzzers of files share: a folder in memory, and an input that is several files in one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/native/native_files.h"
#include "support/temp_dir.h"

namespace tq::fuzz {

// Calls act(), which may refuse.
template <typename Act>
void attempt(Act act) {
  try {
    act();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
}

// A folder of this process in memory, which goes when the process ends.
class ScratchFolder : public fixtures::TempDir {
 public:
  ScratchFolder() : TempDir("/dev/shm") {}

  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      std::filesystem::remove_all(entry.path());
    }
  }
  void write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path() / name;
    std::error_code none;  // a file may stand where the folder should
    std::filesystem::create_directories(file.parent_path(), none);
    std::ofstream(file, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

struct NamedText {
  std::string name;
  std::string_view text;
};

// The files that an input is made of: "=== NAME" on a line of its own, then the file's bytes up to
// the newline before the next such line. Names that lead elsewhere are left out.
inline std::vector<NamedText> split_files(std::string_view input) {
  constexpr std::string_view kMark = "=== ";
  constexpr std::string_view kNext = "\n=== ";
  constexpr size_t kMaxName = 100;
  constexpr size_t kMaxFiles = 20;
  std::vector<NamedText> files;
  while (input.substr(0, kMark.size()) == kMark && files.size() < kMaxFiles) {
    const size_t line = std::min(input.find('\n'), input.size());
    std::string name(input.substr(kMark.size(), line - kMark.size()));
    input.remove_prefix(std::min(line + 1, input.size()));
    const size_t end = std::min(input.find(kNext), input.size());
    if (name.size() <= kMaxName && is_name_within(name)) {
      files.push_back({std::move(name), input.substr(0, end)});
    }
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return files;
}

}  // namespace tq::fuzz
