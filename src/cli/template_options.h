// Options of run and template about the chat template: which one, and everything that it is given:
// messages, tools, further variables.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/chat_template.h"

namespace tq {

struct TemplateOptions {
  std::string chat_template;           // a name, a file or the text itself; empty: the model's own
  std::string messages;                // JSON file; "-" is stdin
  std::string tools;                   // JSON file
  std::string kwargs;                  // a JSON object of variables
  std::vector<std::string> variables;  // "NAME=VALUE"
  bool no_generation_prompt = false;

  // Whether any option was given that only a template can use.
  bool any() const;
};

// --chat-template alone.
void add_template_choice(CLI::App& command, std::string& chat_template);
void add_template_options(CLI::App& command, TemplateOptions& options);

// What a template renders, read from the files and options.
struct GivenChat {
  Json messages;  // null: no file was given
  RenderOptions render;
};

// Throws kNotFound, kCorrupt and kInvalidArgument naming the option or file.
GivenChat read_conversation(const TemplateOptions& options);

}  // namespace tq
