#include "cli/command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error.h"

namespace tq {

bool GlobalOptions::show_progress_bar() const {
  return !quiet && progress == "auto" && isatty(STDERR_FILENO) != 0;
}

bool GlobalOptions::show_progress_lines() const { return !quiet && progress == "plain"; }

void add_examples(CLI::App& command, std::initializer_list<const char*> examples) {
  std::string text = "Examples:";
  for (const char* example : examples) text += std::string("\n  ") + example;
  command.footer(text);
}

void print_text(std::string_view text) {
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0) fail_errno(errno, "writing to stdout");
}

void print_json(const Json& json) {
  // Generated text may hold bytes that are not UTF-8 in JSON's eyes: replaced, never an exception.
  print_text(json_line(json) + "\n");
}

}  // namespace tq
