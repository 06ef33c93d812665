#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace tq {

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 2;
    case ErrorCode::kNotFound:
      return 3;
    case ErrorCode::kCorrupt:
      return 4;
    case ErrorCode::kUnsupported:
      return 5;
    case ErrorCode::kIo:
      return 6;
    case ErrorCode::kNoSpace:
      return 7;
    case ErrorCode::kOutOfMemory:
      return 8;
    case ErrorCode::kDevice:
      return 9;
    case ErrorCode::kCancelled:
      return 130;
    case ErrorCode::kInternal:
      return 70;
  }
  return 70;
}

const char* error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kNoSpace:
      return "no_space";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kDevice:
      return "device";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

void fail_errno(int errno_value, const std::string& what) {
  ErrorCode code = ErrorCode::kIo;
  if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG) {
    code = ErrorCode::kNoSpace;
  } else if (errno_value == ENAMETOOLONG) {
    code = ErrorCode::kInvalidArgument;
  } else if (errno_value == ENOMEM) {
    code = ErrorCode::kOutOfMemory;
  }
  throw Error(code, what + ": " + std::strerror(errno_value));
}

}  // namespace tq
