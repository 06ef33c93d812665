// tq chat: a conversation. The KV cache of what was said stays, so a turn only runs what is new.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/env.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/line_editor.h"
#include "cli/model_options.h"
#include "cli/reasoning_options.h"
#include "cli/sampling_options.h"

namespace tq {
namespace {

constexpr const char* kHelp =
    "/help           this list\n"
    "/clear          forget the conversation\n"
    "/system TEXT    set the system message and forget the conversation; without TEXT: none\n"
    "/exit           leave (Ctrl-D does too)\n"
    "Ctrl-C stops an answer.\n";

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  ReasoningOptions reasoning;
  std::string system;
  bool no_history = false;
};

// Where the lines typed are kept: $XDG_STATE_HOME/tq/chat_history or ~/.local/state/...; empty when
// there is no such place.
std::string history_file() {
  const std::string home = env_or("HOME", "");
  const std::string state =
      env_or("XDG_STATE_HOME", home.empty() ? "" : (fs::path(home) / ".local/state").string());
  if (state.empty()) return "";
  const fs::path folder = fs::path(state) / "tq";
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? "" : (folder / "chat_history").string();
}

class Chat {
 public:
  Chat(const ChatOptions& options, const GlobalOptions& global)
      : options_(options),
        global_(global),
        loaded_(open_model(options.model, {}, global)),
        template_(loaded_.tokenizer ? loaded_.chat_template() : nullptr) {
    if (!template_) {
      fail(ErrorCode::kInvalidArgument, "{} has no {}: use tq run --raw", options.model.path,
           loaded_.tokenizer ? "chat template" : "tokenizer.json");
    }
    sampling_ = options.sampling.over(loaded_.sampling);
    variables_ = options.reasoning.template_variables(*template_);
    engine_.emplace(
        *loaded_.model, loaded_.tokenizer, loaded_.eos_ids,
        EngineOptions{.kv_dtype = options.model.kv(), .suppressed_ids = loaded_.not_text});
    restart(options.system);
  }

  void run() {
    LineEditor editor("> ", options_.no_history ? "" : history_file());
    if (editor.interactive()) info("/help lists the commands.");
    while (const auto line = editor.next_line()) {
      if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
      if (line->starts_with('/')) {
        if (!command(*line)) return;
      } else {
        answer(*line, editor.interactive());
      }
    }
  }

 private:
  void restart(const std::string& system) {
    system_ = system;
    messages_ = Json::array();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  }

  // False to leave.
  bool command(const std::string& line) {
    if (line == "/exit") return false;
    if (line == "/help") {
      print_text(kHelp);
    } else if (line == "/clear") {
      restart(system_);
    } else if (line == "/system" || line.starts_with("/system ")) {
      restart(line.size() > 8 ? line.substr(8) : "");
    } else {
      info("unknown command {}; /help lists them", line);
    }
    return true;
  }

  // One turn. What cannot be answered (a conversation longer than the context) is said and undone;
  // the conversation goes on. Without a person at the terminal it is an error.
  void answer(const std::string& text, bool interactive) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    try {
      Prompt prompt = chat_prompt(*loaded_.tokenizer, *template_, messages_, variables_);
      const bool has_reasoning = prompt.parser.has_value();
      Request request;
      request.sampling = sampling_;
      if (!options_.sampling.max_tokens) {
        request.sampling.max_tokens = default_max_tokens(engine_->max_context(), prompt.ids.size());
      }
      request.prefix = &prefix_;
      AnswerPrinter printer(options_.reasoning);
      const Generation result = generate(*engine_, std::move(request), std::move(prompt),
                                         [&](const ReasoningPiece& piece) {
                                           if (!global_.json) printer.print(piece);
                                         });
      remember(result);
      tell(result, has_reasoning);
      if (!interactive && result.finish == FinishReason::kCancelled) {
        fail(ErrorCode::kCancelled, "interrupted: the answer is incomplete");
      }
    } catch (const Error& error) {
      messages_.erase(messages_.size() - 1);
      if (!interactive || error.code() != ErrorCode::kInvalidArgument) throw;
      warn("{}; /clear starts anew", error.what());
    }
  }

  // The template decides what later turns see of the reasoning.
  void remember(const Generation& result) {
    Json message = {{"role", "assistant"}, {"content", result.text}};
    if (!result.reasoning.empty()) message["reasoning_content"] = result.reasoning;
    messages_.push_back(std::move(message));
  }

  void tell(const Generation& result, bool has_reasoning) const {
    if (global_.json) {
      Json json = {{"text", result.text},
                   {"finish_reason", finish_reason_name(result.finish)},
                   {"prompt_tokens", result.stats.prompt_tokens},
                   {"reused_tokens", result.stats.reused_tokens},
                   {"generated_tokens", result.stats.generated_tokens}};
      if (has_reasoning) json["reasoning"] = result.reasoning;
      print_json(json);
      return;
    }
    print_text(result.finish == FinishReason::kCancelled ? " [stopped]\n" : "\n");
    info("[{}]", describe_rates(result.stats));
  }

  const ChatOptions& options_;
  const GlobalOptions& global_;
  LoadedModel loaded_;
  std::unique_ptr<ChatTemplate> template_;
  SamplingParams sampling_;
  Json variables_;  // for the template
  std::optional<Engine> engine_;
  std::string system_;
  Json messages_;
  KvPrefix prefix_;
};

}  // namespace

void add_chat(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand(
      "chat", "Talk with a model, line by line; with --json one object an answer");
  options->model.ctx = kLongestContext;
  add_model_options(*command, options->model, std::to_string(ModelNeeds{}.default_ctx));
  command->add_option("--system", options->system, "System message");
  add_reasoning_options(*command, options->reasoning);
  command->add_flag("--no-history", options->no_history, "Keep no history of the lines typed");
  add_sampling_options(*command, options->sampling);
  add_examples(*command,
               {"tq chat ./Qwen3-8B",
                "tq chat model.gguf --system \"Answer in French.\" --ctx 16384 --temp 0.7"});
  command->callback([options, &global] { Chat(*options, global).run(); });
}

}  // namespace tq
