// How much memory this process may still take, whatever limits it.
#pragma once

#include <cstdint>

#include "base/file.h"

namespace tq {

// Bytes that could be had now without swapping: what the system has available, what is left of the
// limits of the process's control groups (v1 and v2; files they have cached count as free), of its
// address space (ulimit -v), and of the commit limit where the system never overcommits. 0 if the
// system says none of these. `root` is where /proc and /sys are found; elsewhere than at "/", for
// tests, the address space is left out.
int64_t available_host_memory(const fs::path& root = "/");

// Bytes that this process may take when nothing else runs: the system's memory, the limits of the
// process's control groups and of its address space. 0 if the system says none of these.
int64_t total_host_memory(const fs::path& root = "/");

}  // namespace tq
