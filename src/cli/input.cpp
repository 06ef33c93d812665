#include "cli/input.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/log.h"

namespace tq {

std::string read_stdin(const char* what, int64_t max_bytes) {
  if (isatty(STDIN_FILENO) != 0) info("Type {}; end it with Ctrl-D.", what);
  std::string text;
  std::array<char, 1 << 16> piece{};
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(errno, std::string("reading ") + what + " from stdin");
    if (n == 0) return text;
    text.append(piece.data(), static_cast<size_t>(n));
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      fail(ErrorCode::kInvalidArgument, "stdin: {} has more than {} bytes", what, max_bytes);
    }
  }
}

}  // namespace tq
