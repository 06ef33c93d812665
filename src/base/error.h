// Errors that end an operation: a bad file, an unsupported config, no memory, a device failure.
// Thrown as tq::Error, caught where an operation starts (the CLI's main, one request of a server).
// Expected outcomes are return values, our own bugs are TQ_CHECK (check.h).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace tq {

enum class ErrorCode {
  kInvalidArgument,  // a wrong option, prompt or request
  kNotFound,         // a file, tensor or config key that must exist does not
  kCorrupt,          // a file that contradicts itself or its format's rules
  kUnsupported,      // valid, but nothing this build computes correctly
  kIo,               // the operating system refused to read or write
  kNoSpace,          // disk full (found before or while writing)
  kOutOfMemory,      // memory or a context that does not fit
  kDevice,           // accelerator failure
  kCancelled,        // stopped by the user
  kInternal,         // our bug (TQ_CHECK)
};

// The process exit code the CLI documents for an error: invalid 2, not found 3, corrupt 4,
// unsupported 5, io 6, no space 7, out of memory 8, device 9, internal 70, cancelled 130.
int exit_code(ErrorCode code);

// A stable lower-case name for machines ("corrupt", "not_found", ...).
const char* error_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Throws Error{code, fmt::format(...)}. The message says what, where and what to do.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// The code of a failed system call: kNoSpace for ENOSPC, EDQUOT and EFBIG (disk, quota or file size
// limit reached), kInvalidArgument for ENAMETOOLONG, kOutOfMemory for ENOMEM, kIo for others.
ErrorCode errno_code(int errno_value);

// Throws an error of that code: "<what>: <strerror(errno_value)>".
[[noreturn]] void fail_errno(int errno_value, const std::string& what);

}  // namespace tq
