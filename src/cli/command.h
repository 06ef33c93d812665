// The frame every subcommand of tq hangs in. A command is one file cmd_<name>.cpp that defines
// add_<name>(): it registers a subcommand, its options and its callback; commands.cpp lists them
// all. A callback returns normally for success and throws tq::Error otherwise; main() prints the
// error and turns its code into the exit code. Results go to stdout, everything else to stderr.
#pragma once

#include <CLI/CLI.hpp>
#include <initializer_list>
#include <span>
#include <string>

#include "base/json.h"

namespace tq {

// Options every command has; filled before a command's callback runs.
struct GlobalOptions {
  bool quiet = false;             // nothing on stderr but errors; json implies it
  bool json = false;              // results as one JSON object on stdout
  bool jsonl = false;             // results as JSON objects, one a line, as they come; implies json
  std::string config;             // standing_options.h reads it before the options are parsed
  std::string progress = "auto";  // auto: a bar on a terminal; plain: lines; off

  bool show_progress_bar() const;    // "auto" and stderr is a terminal
  bool show_progress_lines() const;  // "plain"
};

// `global` outlives the app; callbacks may keep the reference.
using AddCommand = void (*)(CLI::App& app, const GlobalOptions& global);

// All commands in the order of `tq --help`.
std::span<const AddCommand> all_commands();

// Ends a command's help with these command lines.
void add_examples(CLI::App& command, std::initializer_list<const char*> examples);

// Prints one line of compact JSON to stdout.
void print_json(const Json& json);

// Writes text to stdout at once (flushed). Throws kIo when stdout cannot take it.
void print_text(std::string_view text);

}  // namespace tq
