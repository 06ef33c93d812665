#include "cli/interrupt.h"

#include <csignal>

#include "cli/terminal.h"

namespace tq {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;
struct sigaction g_before;

// A second Ctrl-C ends the process the usual way, should the first one take too long.
void on_sigint(int signal_number) {
  if (g_interrupted != 0) {
    TerminalScope::abandon();
    std::signal(SIGINT, SIG_DFL);
    raise(signal_number);
  }
  g_interrupted = 1;
}

}  // namespace

InterruptScope::InterruptScope() {
  g_interrupted = 0;
  struct sigaction action {};
  action.sa_handler = on_sigint;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_NODEFER | SA_RESTART;
  sigaction(SIGINT, &action, &g_before);
}

InterruptScope::~InterruptScope() { sigaction(SIGINT, &g_before, nullptr); }

bool InterruptScope::interrupted() { return g_interrupted != 0; }

}  // namespace tq
