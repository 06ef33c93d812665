#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <utility>

namespace tq {
namespace {

constexpr std::string_view kPasteOn = "\x1b[?2004h";
constexpr std::string_view kPasteOff = "\x1b[?2004l";

constexpr std::array kEnding = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// What signal handlers use; set before they are installed.
termios g_modes;
std::array<struct sigaction, kEnding.size()> g_ending_before;
struct sigaction g_stop_before;
struct sigaction g_resize_before;
volatile std::sig_atomic_t g_resized = 0;
volatile std::sig_atomic_t g_alive = 0;
volatile std::sig_atomic_t g_ignores_interrupts = 0;

void send(std::string_view sequence) {
  // Nothing can be done about an error, here least of all.
  if (write(STDOUT_FILENO, sequence.data(), sequence.size()) < 0) return;
}

void put_back() {
  tcsetattr(STDIN_FILENO, TCSANOW, &g_modes);
  send(kPasteOff);
}

void raise_by_default(int signal_number) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  sigaction(signal_number, &action, nullptr);
  raise(signal_number);
}

void on_ending(int signal_number) {
  if (signal_number == SIGINT && g_ignores_interrupts != 0) return;
  put_back();
  raise_by_default(signal_number);
}

void on_resize(int) { g_resized = 1; }

// A handler; `flags` beside those of the signal.
void handle(int signal_number, void (*handler)(int), int flags, struct sigaction* before) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal_number, &action, before);
}

void on_stop(int) {
  const int error = errno;
  termios now;
  const bool known = tcgetattr(STDIN_FILENO, &now) == 0;
  put_back();
  raise_by_default(SIGTSTP);  // stops here
  handle(SIGTSTP, on_stop, SA_NODEFER | SA_RESTART, nullptr);
  if (known) tcsetattr(STDIN_FILENO, TCSANOW, &now);
  send(kPasteOn);
  g_resized = 1;  // perhaps; what was shown is to be shown again
  errno = error;
}

}  // namespace

int terminal_columns(int descriptor) {
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

TerminalScope::TerminalScope() {
  tcgetattr(STDIN_FILENO, &g_modes);
  for (size_t i = 0; i < kEnding.size(); ++i) {
    sigaction(kEnding[i], nullptr, &g_ending_before[i]);
    // nohup and the like stay in force.
    if (g_ending_before[i].sa_handler != SIG_IGN)
      handle(kEnding[i], on_ending, SA_NODEFER | SA_RESTART, nullptr);
  }
  handle(SIGTSTP, on_stop, SA_NODEFER | SA_RESTART, &g_stop_before);
  handle(SIGWINCH, on_resize, 0, &g_resize_before);
  g_alive = 1;
  g_ignores_interrupts = 0;
  send(kPasteOn);
}

TerminalScope::~TerminalScope() {
  g_alive = 0;
  put_back();
  for (size_t i = 0; i < kEnding.size(); ++i) sigaction(kEnding[i], &g_ending_before[i], nullptr);
  sigaction(SIGTSTP, &g_stop_before, nullptr);
  sigaction(SIGWINCH, &g_resize_before, nullptr);
}

void TerminalScope::ignore_interrupts() { g_ignores_interrupts = 1; }

void TerminalScope::abandon() {
  if (g_alive != 0) put_back();
}

bool TerminalScope::take_resized() { return std::exchange(g_resized, 0) != 0; }

}  // namespace tq
