// A model to talk with, as evaluations are given it: a path, which runs in this process, or the URL
// of a server.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/model_options.h"
#include "eval/chat_model.h"
#include "loadgen/http_client.h"

namespace tq {

// What both kinds have in common, and what only a URL needs.
struct ChatSourceOptions {
  std::string chat_template;  // of a path: a name or a file
  std::string variables;      // of a path: the template's, a JSON object
  int64_t parallel = 4;
  std::string extra_body;  // of a URL
  int retries = 3;
  ClientLimits limits;
  ClientTrust trust;
};

// Where one of them is.
struct ChatSource {
  ModelOptions model;        // path: a path or a URL
  std::string served_model;  // of a URL; empty: the server's first
  std::string api_key;
};

// What was loaded, once it was: for results.
struct LoadedFacts {
  std::string device;
  std::string description;
  Json json() const;  // {"name", "description"}; null where nothing was loaded
};

void add_chat_source_options(CLI::App& command, ChatSourceOptions& options);

// facts: filled when the model is loaded; outlives the model, as the options do. Ctrl-C ends what
// is under way where an InterruptScope lives.
std::unique_ptr<ChatModel> make_chat_model(const ChatSource& source,
                                           const ChatSourceOptions& options,
                                           const GlobalOptions& global, LoadedFacts& facts);

}  // namespace tq
