// The command line as it is typed, made into the one that tq parses: '_' in long options is '-',
// names of other programs (habits.h) become tq's own, and what is unknown is refused with what may
// have been meant.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace tq {

// A command line that cannot be understood: kInvalidArgument.
class UsageError : public Error {
 public:
  UsageError(std::string command, const std::string& message)
      : Error(ErrorCode::kInvalidArgument, message), command_(std::move(command)) {}
  // "tq eval ppl": whose help says more.
  const std::string& command() const { return command_; }

 private:
  std::string command_;
};

struct Arguments {
  std::vector<std::string> words;  // without the program's name; options first, then "--" and the
                                   // other arguments
  std::vector<std::string> notes;  // what is ignored, and why
};

// root: tq with all commands and options. Throws UsageError.
Arguments translate_arguments(const CLI::App& root, const std::vector<std::string>& typed);

// The names of the commands below an app, and the one of a name; null where there is none.
std::vector<std::string> command_names(const CLI::App& app);
const CLI::App* command_below(const CLI::App& app, const std::string& name);

}  // namespace tq
