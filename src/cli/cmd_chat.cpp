// tq chat: a conversation, line by line (cli/chat/chat.h).
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/env.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_commands.h"
#include "cli/chat/input_assembler.h"
#include "cli/command.h"
#include "cli/line_editor.h"
#include "cli/template_options.h"
#include "cli/terminal.h"
#include "cli/values.h"

namespace tq {
namespace {

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

// What is typed next; nothing to leave. Without a person at a terminal every line is an input.
std::optional<ChatInput> next_input(LineEditor& editor) {
  InputAssembler assembler;
  std::string typed;
  bool asked = false;
  for (;;) {
    const LineEditor::Line line = editor.read(assembler.open() ? "... " : "> ",
                                              asked ? "(Ctrl-C again or Ctrl-D to leave)\n" : "");
    if (line.end == LineEditor::End::kInput) return std::nullopt;
    if (!editor.interactive()) return ChatInput{line.text, line.text.starts_with('/')};
    if (line.end == LineEditor::End::kInterrupted) {
      if (asked && line.text.empty()) return std::nullopt;
      asked = !assembler.open();
      assembler.reset();
      typed.clear();
      continue;
    }
    asked = false;
    typed += (assembler.open() ? "\n" : "") + line.text;
    if (auto input = assembler.push(line.text)) {
      // What was put together comes back from the history as it was sent.
      editor.remember(typed == line.text ? typed : input->text);
      return input;
    }
  }
}

// Runs one input. What cannot be done is said, and the chat goes on; without a person at the
// terminal it is an error. (A command that there is not is no error there either.)
ChatStep run_input(Chat& chat, const ChatInput& input, bool interactive) {
  try {
    if (input.is_command) return run_chat_command(chat, input.text);
    chat.say(input.text);
  } catch (const Error& error) {
    const bool unknown =
        input.is_command && find_chat_command(split_word(input.text).word) == nullptr;
    const bool serious = error.code() == ErrorCode::kDevice ||
                         error.code() == ErrorCode::kOutOfMemory ||
                         error.code() == ErrorCode::kInternal;
    if (serious || (!interactive && !unknown)) throw;
    warn("{}", error.what());
  }
  if (!interactive && chat.interrupted()) {
    fail(ErrorCode::kCancelled, "interrupted: the answer is incomplete");
  }
  return ChatStep::kGoOn;
}

void run_chat(const ChatOptions& options, const GlobalOptions& global) {
  // First, so that what is typed while the model is loaded waits for the prompt.
  LineEditor editor(options.no_history ? "" : history_file());
  Chat chat(options, global);
  info("{}", chat.description());
  if (editor.interactive()) {
    info("/help lists the commands; Ctrl-D leaves.");
    TerminalScope::ignore_interrupts();
  }
  bool empty = true;
  while (const auto input = next_input(editor)) {
    if (input->text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    empty = false;
    if (run_input(chat, *input, editor.interactive()) == ChatStep::kLeave) return;
  }
  if (empty && !editor.interactive()) {
    fail(ErrorCode::kInvalidArgument, "there is nothing to answer: stdin is empty");
  }
}

}  // namespace

void add_chat(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand(
      "chat", "Talk with a model, line by line; with --json one object an answer");
  options->model.ctx = kLongestContext;
  add_model_options(*command, options->model, std::to_string(ModelNeeds{}.default_ctx));
  command->add_option("--system", options->system, "System message");
  command
      ->add_option(
          "--context-full", options->context_full,
          "When the context is full: stop, or drop-oldest: the model sees the oldest turns "
          "no more")
      ->check(one_of({"stop", "drop-oldest"}));
  command->add_flag("--no-wrap", options->no_wrap, "Do not break lines between words");
  add_template_choice(*command, options->chat_template);
  add_reasoning_options(*command, options->reasoning);
  command->add_flag("--no-history", options->no_history, "Keep no history of the lines typed");
  add_sampling_options(*command, options->sampling);
  add_examples(*command,
               {"tq chat ./Qwen3-8B",
                "tq chat model.gguf --system \"Answer in French.\" --ctx 16384 --temp 0.7"});
  command->callback([options, &global] { run_chat(*options, global); });
}

}  // namespace tq
