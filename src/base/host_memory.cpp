#include "base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tq {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// A file's only number; nothing when it holds none ("max") or cannot be read.
std::optional<int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return {};
}

// The number behind the name in a file of lines such as "MemAvailable: 12 kB" or "inactive_file 7".
std::optional<int64_t> read_field(const fs::path& path, std::string_view wanted) {
  std::ifstream file(path);
  for (std::string name; file >> name;) {
    int64_t number = 0;
    if (name == wanted && file >> number) return number;
    file.clear();
    std::getline(file, name);
  }
  return {};
}

// Where a version of control groups keeps its files, and their names.
struct CgroupFiles {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* cached[2];  // in memory.stat: files that would be given up
};
constexpr CgroupFiles kV1 = {"sys/fs/cgroup/memory",
                             "memory.limit_in_bytes",
                             "memory.usage_in_bytes",
                             {"total_inactive_file", "total_active_file"}};
constexpr CgroupFiles kV2 = {
    "sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};

enum class Count : uint8_t { kLeft, kAll };

// What one group still allows, or allows in all.
int64_t left_in_group(const fs::path& folder, const CgroupFiles& files, Count count) {
  const auto limit = read_number(folder / files.limit);
  if (count == Count::kAll) return limit.value_or(kUnlimited);
  const auto usage = read_number(folder / files.usage);
  if (!limit || !usage) return kUnlimited;
  int64_t cached = 0;
  for (const char* name : files.cached) {
    cached += read_field(folder / "memory.stat", name).value_or(0);
  }
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, *usage - cached));
}

// A group and all that it is in. In a container the path may be the host's: folders that are not
// there limit nothing, and the mount itself is the container's group.
int64_t left_in_groups(const fs::path& root, const CgroupFiles& files, std::string_view group,
                       Count count) {
  const fs::path mount = root / files.mount;
  int64_t left = left_in_group(mount, files, count);
  fs::path folder = mount;
  for (const fs::path& part : fs::path(group).relative_path()) {
    folder /= part;
    left = std::min(left, left_in_group(folder, files, count));
  }
  return left;
}

// Lines of /proc/self/cgroup are "4:memory,cpu:/path" or, of version 2, "0::/path".
int64_t left_by_cgroups(const fs::path& root, Count count) {
  std::ifstream file(root / "proc/self/cgroup");
  int64_t left = kUnlimited;
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool v1 = controllers.find(",memory,") != std::string::npos;
    if (!v1 && controllers != ",,") continue;
    left = std::min(left, left_in_groups(root, v1 ? kV1 : kV2, line.substr(second + 1), count));
  }
  return left;
}

// A system that never overcommits refuses what it could not hold if all of it were used.
int64_t left_to_commit(const fs::path& root) {
  if (read_number(root / "proc/sys/vm/overcommit_memory") != 2) return kUnlimited;
  const auto limit = read_field(root / "proc/meminfo", "CommitLimit:");
  const auto used = read_field(root / "proc/meminfo", "Committed_AS:");
  if (!limit || !used) return kUnlimited;
  return std::max<int64_t>(0, *limit - *used) * 1024;
}

int64_t left_of_address_space(Count count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  if (limit.rlim_cur > static_cast<rlim_t>(kUnlimited)) return kUnlimited;
  if (count == Count::kAll) return static_cast<int64_t>(limit.rlim_cur);
  const auto used = read_field("/proc/self/status", "VmSize:");
  if (!used) return kUnlimited;
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - *used * 1024);
}

int64_t host_memory(const fs::path& root, const char* field, Count count) {
  int64_t bytes = left_by_cgroups(root, count);
  if (const auto kilobytes = read_field(root / "proc/meminfo", field)) {
    bytes = std::min(bytes, *kilobytes * 1024);
  }
  if (count == Count::kLeft) bytes = std::min(bytes, left_to_commit(root));
  if (root == "/") bytes = std::min(bytes, left_of_address_space(count));
  return bytes == kUnlimited ? 0 : bytes;
}

}  // namespace

int64_t available_host_memory(const fs::path& root) {
  return host_memory(root, "MemAvailable:", Count::kLeft);
}

int64_t total_host_memory(const fs::path& root) {
  return host_memory(root, "MemTotal:", Count::kAll);
}

}  // namespace tq
