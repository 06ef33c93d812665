// Options of run and chat about a model's reasoning: whether it thinks, and whether that is shown.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/json.h"
#include "text/chat_template.h"

namespace tq {

struct ReasoningOptions {
  std::string show = "auto";  // "show", "hide"; auto: show on a terminal
  std::string think;          // "on", "off"; empty: as the chat template has it

  // Variables for the template. Throws kInvalidArgument when --think is given and the template does
  // not look at it.
  Json template_variables(const ChatTemplate& chat_template) const;
};

void add_reasoning_options(CLI::App& command, ReasoningOptions& options);

}  // namespace tq
