// The commands and options that CLI11 was told of, as plain data: what completion scripts and
// manual pages are written from.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tq {

struct OptionInfo {
  std::vector<std::string>
      names;  // with dashes, long ones first; of a positional argument its name
  std::string description;
  std::string group;  // the heading of the help that it stands under
  bool takes_value = false;
  bool required = false;
  std::string value;                 // kind of the value ("TEXT", "UINT"); empty without one
  std::string default_value;         // empty: none
  std::vector<std::string> choices;  // of the value; empty: anything (a file name is offered)
};

struct CommandInfo {
  std::string path;  // "tq eval ppl"
  std::string name;
  std::string description;
  std::string footer;
  std::vector<OptionInfo> options;
  std::vector<OptionInfo> arguments;  // positional ones, in order
  std::vector<CommandInfo> children;
};

// The app and everything below it, without what its help hides.
CommandInfo describe_command(const CLI::App& app);

// Calls visit(command) for the command and everything below it, parents first.
template <typename Visit>
void for_each_command(const CommandInfo& command, const Visit& visit) {
  visit(command);
  for (const CommandInfo& child : command.children) for_each_command(child, visit);
}

}  // namespace tq
