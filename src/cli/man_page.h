// Manual pages of the commands, in the man macros of roff.
#pragma once

#include <string>

#include "cli/command_tree.h"

namespace tq {

// "tq-eval-ppl", the name of a command's page.
std::string man_page_name(const CommandInfo& command);

// The page of one command: ASCII, but for what descriptions hold (UTF-8).
std::string man_page(const CommandInfo& command, const CommandInfo& root);

}  // namespace tq
