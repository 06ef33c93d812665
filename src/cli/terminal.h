// The terminal that a person types at.
#pragma once

#include <string_view>

namespace tq {

// Columns of the terminal behind a descriptor; 0 where there is none, or it does not say.
int terminal_columns(int descriptor);

// While it lives, pasted text comes between kPasteBegin and kPasteEnd (bracketed paste), and the
// modes of the terminal are put back by whatever ends or stops the process: SIGINT, SIGTERM,
// SIGHUP, SIGQUIT, SIGTSTP (and set again when it goes on). One at a time; stdin and stdout are
// terminals.
class TerminalScope {
 public:
  static constexpr std::string_view kPasteBegin = "\x1b[200~";
  static constexpr std::string_view kPasteEnd = "\x1b[201~";

  TerminalScope();
  ~TerminalScope();
  TerminalScope(const TerminalScope&) = delete;
  TerminalScope& operator=(const TerminalScope&) = delete;

  // From now on SIGINT ends nothing: Ctrl-C at an answer that has just ended must not end the chat.
  static void ignore_interrupts();
  // Puts the modes back, if there is a scope, for who ends the process in a signal handler.
  static void abandon();
  // Whether the window's size has changed since the last call. A read() is interrupted by that.
  static bool take_resized();
};

}  // namespace tq
