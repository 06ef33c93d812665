#include "capi/status.h"

#include <exception>
#include <filesystem>
#include <new>

namespace tq::capi {
namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}
thread_local bool has_no_memory = false;  // not even for the message

}  // namespace

tq_status failed(ErrorCode code, const char* message) noexcept {
  try {
    last_error() = message;
    has_no_memory = false;
  } catch (...) {
    has_no_memory = true;
  }
  return static_cast<tq_status>(exit_code(code));
}

tq_status failed_with_current() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return failed(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return failed(ErrorCode::kOutOfMemory, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return failed(errno_code(error.code().value()), error.what());
  } catch (const std::exception& error) {
    return failed(ErrorCode::kInternal, error.what());
  } catch (...) {
    return failed(ErrorCode::kInternal, "an unknown exception");
  }
}

char* copy_text(std::string_view text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  if (!text.empty()) std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

Json read_json(const char* text, const char* name) {
  require(text, name);
  try {
    return parse_json(text, name);
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "{}", error.what());
  }
}

}  // namespace tq::capi

using tq::ErrorCode;

const char* tq_last_error(void) {
  if (tq::capi::has_no_memory) return "out of memory";
  try {
    return tq::capi::last_error().c_str();
  } catch (...) {
    return "out of memory";
  }
}

const char* tq_status_name(tq_status status) {
  if (status == TQ_OK) return "ok";
  for (const ErrorCode code :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kCorrupt,
        ErrorCode::kUnsupported, ErrorCode::kIo, ErrorCode::kNoSpace, ErrorCode::kOutOfMemory,
        ErrorCode::kDevice, ErrorCode::kCancelled}) {
    if (tq::exit_code(code) == static_cast<int>(status)) return tq::error_name(code);
  }
  return tq::error_name(ErrorCode::kInternal);
}

const char* tq_version(void) { return TQ_VERSION; }
int tq_abi_version(void) { return TQ_ABI_VERSION; }
void tq_free(void* memory) { std::free(memory); }
