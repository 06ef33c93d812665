#include "base/host_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "support/temp_dir.h"

namespace tq {
namespace {

// A system as its files show it.
class HostMemoryTest : public ::testing::Test {
 protected:
  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((dir_.path() / path).parent_path());
    fixtures::write_bytes(dir_.path() / path, text);
  }
  void write_group(const fs::path& folder, const std::string& max, const std::string& current) {
    write(folder / "memory.max", max + "\n");
    write(folder / "memory.current", current + "\n");
    write(folder / "memory.stat", "anon 1\ninactive_file 300\nactive_file 20\n");
  }
  int64_t available() const { return available_host_memory(dir_.path()); }

  fixtures::TempDir dir_;
};

TEST_F(HostMemoryTest, NothingIsKnown) { EXPECT_EQ(available(), 0); }

TEST_F(HostMemoryTest, WhatTheSystemHas) {
  write("proc/meminfo", "MemTotal:  900 kB\nMemFree:  1 kB\nMemAvailable:  700 kB\n");
  EXPECT_EQ(available(), 700 * 1024);
}

TEST_F(HostMemoryTest, TheTightestGroupLimits) {
  write("proc/meminfo", "MemAvailable:  700 kB\n");
  write("proc/self/cgroup", "0::/slice/unit\n");
  write_group("sys/fs/cgroup/slice/unit", "max", "400");
  EXPECT_EQ(available(), 700 * 1024);
  write_group("sys/fs/cgroup/slice", "5000", "1000");
  EXPECT_EQ(available(), 5000 - (1000 - 320));
  write_group("sys/fs/cgroup/slice/unit", "2000", "400");
  EXPECT_EQ(available(), 2000 - (400 - 320));
  write_group("sys/fs/cgroup/slice/unit", "2000", "200");  // all of it cached files
  EXPECT_EQ(available(), 2000);
  write_group("sys/fs/cgroup/slice/unit", "2000", "9000");  // lowered below what is in use
  EXPECT_EQ(available(), 0);
}

TEST_F(HostMemoryTest, InAContainerTheMountIsTheGroup) {
  write("proc/meminfo", "MemAvailable:  700 kB\n");
  write("proc/self/cgroup", "0::/host/path/of/it\n");
  write_group("sys/fs/cgroup", "4000", "1320");
  EXPECT_EQ(available(), 3000);
}

TEST_F(HostMemoryTest, VersionOne) {
  write("proc/meminfo", "MemAvailable:  700 kB\n");
  write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/box\n0::/\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "6000\n");
  write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1000\n");
  write("sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file 100\n");
  EXPECT_EQ(available(), 6000 - 900);
}

TEST_F(HostMemoryTest, ASystemThatNeverOvercommits) {
  write("proc/meminfo", "MemAvailable:  700 kB\nCommitLimit:  500 kB\nCommitted_AS:  400 kB\n");
  EXPECT_EQ(available(), 700 * 1024);
  write("proc/sys/vm/overcommit_memory", "2\n");
  EXPECT_EQ(available(), 100 * 1024);
}

TEST_F(HostMemoryTest, AllThatThereIs) {
  EXPECT_EQ(total_host_memory(dir_.path()), 0);
  write("proc/meminfo", "MemTotal:  900 kB\nMemAvailable:  700 kB\nCommitLimit:  5 kB\n");
  EXPECT_EQ(total_host_memory(dir_.path()), 900 * 1024);
  write("proc/self/cgroup", "0::/slice/unit\n");
  write_group("sys/fs/cgroup/slice", "5000", "1000");  // whatever is in use
  EXPECT_EQ(total_host_memory(dir_.path()), 5000);
  write_group("sys/fs/cgroup/slice", "max", "1000");
  EXPECT_EQ(total_host_memory(dir_.path()), 900 * 1024);
  EXPECT_GE(total_host_memory(), available_host_memory());
}

TEST(AvailableHostMemory, IsSome) { EXPECT_GT(available_host_memory(), int64_t{1} << 20); }

}  // namespace
}  // namespace tq
