#include "cli/interrupt.h"

#include <csignal>

namespace tq {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;
struct sigaction g_before;

void on_sigint(int) { g_interrupted = 1; }

}  // namespace

InterruptScope::InterruptScope() {
  g_interrupted = 0;
  struct sigaction action {};
  action.sa_handler = on_sigint;
  sigemptyset(&action.sa_mask);
  // A second Ctrl-C ends the process the usual way, should the first one take too long.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, &g_before);
}

InterruptScope::~InterruptScope() { sigaction(SIGINT, &g_before, nullptr); }

bool InterruptScope::interrupted() { return g_interrupted != 0; }

}  // namespace tq
