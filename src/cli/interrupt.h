// Ctrl-C as a request to stop cleanly. While an InterruptScope lives, SIGINT sets a flag instead of
// ending the process. One scope at a time, on the main thread.
#pragma once

namespace tq {

class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  // Whether Ctrl-C was pressed since the scope began.
  static bool interrupted();
};

}  // namespace tq
