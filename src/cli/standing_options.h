// Options that are not typed: from the environment (TQ_MAX_TOKENS for --max-tokens) and a config
// file
// ("max-tokens = 200"). What is typed outranks the environment, and that the file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tq {

// Words for the command line of a command: "--max-tokens=200". typed:
// the options that are there already. config: a file; "" where none was named: then TQ_CONFIG names
// it (empty: none is read), else it is tq/config in XDG_CONFIG_HOME or ~/.config, if there is one.
// Throws kNotFound, and kInvalidArgument naming file and line, or the variable.
std::vector<std::string> standing_options(const CLI::App& root, const CLI::App& command,
                                          const std::vector<const CLI::Option*>& typed,
                                          const std::string& config);

}  // namespace tq
