// Mapped files that become shorter while they are used. The kernel's answer to a read beyond the
// new end (or one that the disk fails) is SIGBUS, which ends the process without a word. After
// catch_file_faults() the read finds zeros instead, and what is computed from them is wrong:
// whoever computes from mappings calls check_file_faults() before a result is believed. A cut
// within a file's last page raises no signal and is not seen here. All functions are thread safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>

#include "base/error.h"

namespace tq {

// Handles SIGBUS in mappings of MappedFile from now on, for the whole process; every other one goes
// to the handler that was there before. `tq` calls it first of all. A program that uses the library
// and has its own ideas of SIGBUS leaves it, or calls it after setting its own handler.
void catch_file_faults();

// Throws kIo naming a file that could not be read in a mapping that is still there.
void check_file_faults();

// The error of the first such file since the process began, also when its mapping is gone.
std::optional<Error> first_file_fault();

// MappedFile tells of its mappings, and before they end. Of more than 4096 at once the last ones
// are not known, and a fault in them is what it was without this.
void add_file_mapping(const void* begin, size_t size_bytes, const std::filesystem::path& path);
void remove_file_mapping(const void* begin);

}  // namespace tq
