// What a conversion makes durable, and what becomes of it when a disk will not: fsync() is ours
// here.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>

#include "base/error.h"
#include "convert/convert.h"
#include "convert/destination.h"
#include "unit/convert/fixture.h"

namespace {

std::function<int(const std::filesystem::path&, bool)> on_fsync;  // path, whether a folder

}  // namespace

// In the place of the C library's, for the whole program.
extern "C" int fsync(int fd) {
  if (on_fsync) {
    struct stat info {};
    ::fstat(fd, &info);
    const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    if (const int error = on_fsync(path, S_ISDIR(info.st_mode)); error != 0) {
      errno = error;
      return -1;
    }
  }
  static const auto real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fsync"));
  return real(fd);
}

namespace tq {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

class SyncTest : public ::testing::Test {
 protected:
  SyncTest() {
    options_ = quick_options(dir_ / "new/result");
    options_.shard_bytes = 30'000;
  }
  ~SyncTest() override { on_fsync = nullptr; }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  ConvertOptions options_;
};

TEST_F(SyncTest, EveryFolderThatGotAnEntryIsSynced) {
  std::vector<fs::path> folders;
  bool synced_complete = false;
  on_fsync = [&](const fs::path& path, bool is_folder) {
    if (is_folder) folders.push_back(path);
    const bool complete = fs::exists(options_.destination / "tq_config.json");
    synced_complete = synced_complete || (complete && path.filename() == "result");
    return 0;
  };
  convert_folder(source_, options_);
  const fs::path dir = fs::canonical(dir_.path());
  EXPECT_THAT(folders, Contains(dir));                             // new/
  EXPECT_THAT(folders, Contains(dir / "new"));                     // result/
  EXPECT_THAT(folders, Contains(dir / "new/result/.tq-convert"));  // the finished files
  EXPECT_TRUE(synced_complete);
}

TEST_F(SyncTest, AFolderThatCannotBeSyncedIsAnError) {
  int n_folders = 0;
  on_fsync = [&](const fs::path&, bool is_folder) {
    n_folders += is_folder ? 1 : 0;
    return 0;
  };
  convert_folder(source_, options_);
  const auto expected = contents(options_.destination);
  ASSERT_GE(n_folders, 6);
  for (int n = 0; n < n_folders; ++n) {
    fs::remove_all(dir_ / "new");
    int seen = 0;
    on_fsync = [&](const fs::path&, bool is_folder) { return is_folder && seen++ == n ? EIO : 0; };
    const Error error = conversion_error(source_, options_);
    EXPECT_EQ(error.code(), ErrorCode::kIo) << n << ": " << error.what();
    EXPECT_THAT(error.what(), HasSubstr(dir_.path().string())) << n;
    options_.overwrite = true;  // the last of them comes after the result is complete
    convert_folder(source_, options_);
    EXPECT_EQ(contents(options_.destination), expected) << n;
  }
}

}  // namespace
}  // namespace tq
