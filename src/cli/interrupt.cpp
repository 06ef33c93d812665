#include "cli/interrupt.h"

#include <atomic>
#include <csignal>

#include "cli/terminal.h"

namespace tq {
namespace {

// Set in a signal handler, on any thread.
std::atomic<bool> g_interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);
struct sigaction g_before;

// A second Ctrl-C ends the process the usual way, should the first one take too long.
void on_sigint(int signal_number) {
  if (g_interrupted.exchange(true)) {
    TerminalScope::abandon();
    std::signal(SIGINT, SIG_DFL);
    raise(signal_number);
  }
}

}  // namespace

InterruptScope::InterruptScope() {
  g_interrupted = false;
  struct sigaction action {};
  action.sa_handler = on_sigint;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_NODEFER | SA_RESTART;
  sigaction(SIGINT, &action, &g_before);
}

InterruptScope::~InterruptScope() { sigaction(SIGINT, &g_before, nullptr); }

bool InterruptScope::interrupted() { return g_interrupted; }

}  // namespace tq
