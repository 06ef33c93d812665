// Fuzzes the line editor of `tq chat`: whatever is typed, pasted or stands in the history file,
// each line ends, and the editor is there for the next one. The input is the history file up to a
// zero byte, then the keys. They come through read(), which the linker replaces here (--wrap), so
// that the keys can end; everything else meets a real terminal.
#include <fcntl.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "cli/line_editor.h"
#include "scratch_folder.h"

namespace {

std::string_view keys;

// Takes what the editor shows, for ever.
void drain(int terminal) {
  char bytes[4096];
  while (::read(terminal, bytes, sizeof bytes) > 0 || errno == EINTR) {
  }
}

}  // namespace

extern "C" ssize_t __real_read(int fd, void* out, size_t size);
extern "C" ssize_t __wrap_read(int fd, void* out, size_t size) {
  if (fd != STDIN_FILENO) return __real_read(fd, out, size);
  const size_t n = std::min(size, keys.size());
  std::memcpy(out, keys.data(), n);
  keys.remove_prefix(n);
  return static_cast<ssize_t>(n);
}

// What the terminal library keeps of a description each time that an editor is made.
extern "C" const char* __lsan_default_suppressions() { return "leak:libtinfo\n"; }
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }

// Ctrl-Z stops nothing here.
extern "C" int __wrap_raise(int) { return 0; }

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  int terminal = -1;
  int child = -1;
  const winsize size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  if (::openpty(&terminal, &child, nullptr, nullptr, &size) != 0) std::abort();
  if (::dup2(child, STDIN_FILENO) < 0 || ::dup2(child, STDOUT_FILENO) < 0) std::abort();
  ::close(child);
  ::setenv("TERM", "xterm", 1);
  ::setenv("LC_ALL", "C.UTF-8", 1);
  std::thread(drain, terminal).detach();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tq::fuzz::ScratchFolder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), input.size());
  folder.write("history", input.substr(0, zero));
  keys = input.substr(std::min(zero + 1, input.size()));
  tq::LineEditor editor(folder.path() / "history");
  if (!editor.interactive()) std::abort();
  // Every read() takes a key, or says that there are no more.
  for (size_t left = size + 1; left > 0; --left) {
    const tq::LineEditor::Line line = editor.read("> ");
    if (line.end == tq::LineEditor::End::kLine) editor.remember(line.text);
    if (line.end == tq::LineEditor::End::kInput && keys.empty()) return 0;
  }
  std::abort();
}
