#include "cli/chat/chat_commands.h"

#include <fmt/format.h>

#include <array>

#include "base/ascii.h"
#include "base/env.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/chat/chat.h"

namespace tq {
namespace {

// "~/x" as a shell would have it.
std::string path_of(std::string_view text) {
  if (text != "~" && !text.starts_with("~/")) return std::string(text);
  return env_or("HOME", "~") + std::string(text.substr(1));
}

// The beginning of a message, on one line.
std::string shortened(const std::string& text) {
  constexpr size_t kMost = 40;
  std::string line = text.substr(0, text.find('\n'));
  size_t end = std::min(line.size(), kMost);
  while (end > 0 && end < line.size() && (line[end] & 0xC0) == 0x80) --end;  // whole characters
  line.resize(end);
  return line.size() < text.size() ? line + "..." : line;
}

ChatStep help(Chat&, std::string_view) {
  print_text(chat_help());
  return ChatStep::kGoOn;
}

ChatStep clear(Chat& chat, std::string_view) {
  chat.clear();
  info("[a new conversation]");
  return ChatStep::kGoOn;
}

ChatStep system(Chat& chat, std::string_view text) {
  chat.restart(unquoted(text));
  info("[a new conversation with{} system message]", text.empty() ? "out a" : " this");
  return ChatStep::kGoOn;
}

ChatStep retry(Chat& chat, std::string_view) {
  chat.retry();
  return ChatStep::kGoOn;
}

ChatStep undo(Chat& chat, std::string_view) {
  info("[taken back: {}]", shortened(chat.undo()));
  return ChatStep::kGoOn;
}

ChatStep go_on(Chat& chat, std::string_view) {
  chat.go_on();
  return ChatStep::kGoOn;
}

ChatStep save(Chat& chat, std::string_view file) {
  const std::string path = path_of(file);
  chat.save(path);
  info("[{} messages written to {}]", chat.transcript().messages().size(), path);
  return ChatStep::kGoOn;
}

ChatStep load(Chat& chat, std::string_view file) {
  const std::string path = path_of(file);
  chat.load(path);
  info("[{} messages read from {}]", chat.transcript().messages().size(), path);
  return ChatStep::kGoOn;
}

ChatStep set(Chat& chat, std::string_view text) {
  chat.set(text);
  return ChatStep::kGoOn;
}

ChatStep stats(Chat& chat, std::string_view) {
  chat.print_stats();
  return ChatStep::kGoOn;
}

ChatStep quit(Chat&, std::string_view) { return ChatStep::kLeave; }

constexpr std::array<ChatCommand, 11> kCommands = {{
    {"/help", "/? /h", "", "this list", help},
    {"/clear", "/reset /new /forget", "", "forget the conversation, but not the system message",
     clear},
    {"/system", "", "[TEXT]", "set the system message and forget the conversation; no TEXT: none",
     system},
    {"/retry", "/regen /regenerate /redo", "", "another answer to the last message", retry},
    {"/undo", "/back", "", "take the last message and its answer back", undo},
    {"/continue", "/cont /go /more", "", "go on with an answer that was cut or stopped", go_on},
    {"/save", "", "FILE", "write the conversation as JSON", save},
    {"/load", "", "FILE", "go on with a conversation from a JSON file", load},
    {"/set", "/show /settings", "[NAME VALUE]", "list the settings, or change one: /set top-k 40",
     set},
    {"/stats", "/info /usage /status /timings", "", "tokens, speed and the context in use", stats},
    {"/quit", "/exit /bye /q", "", "leave (Ctrl-D does too)", quit},
}};

}  // namespace

const ChatCommand* find_chat_command(std::string_view name) {
  for (const ChatCommand& command : kCommands) {
    if (command.name == name) return &command;
    for (WordAndRest other = split_word(command.other_names); !other.word.empty();
         other = split_word(other.rest)) {
      if (other.word == name) return &command;
    }
  }
  return nullptr;
}

std::string chat_help() {
  std::string out;
  for (const ChatCommand& command : kCommands) {
    out += fmt::format("{:<22} {}", fmt::format("{} {}", command.name, command.argument),
                       command.help);
    if (!command.other_names.empty()) out += fmt::format(" ({})", command.other_names);
    out += '\n';
  }
  return out +
         "A line that ends with a backslash goes on in the next; Alt-Enter begins a new one too.\n"
         "\"\"\" opens a text of several lines, \"\"\" at the end of a line closes it.\n"
         "Pasted text is one message. A blank before a slash makes a message of it.\n"
         "Ctrl-C stops an answer. What is typed meanwhile waits for the next prompt.\n";
}

ChatStep run_chat_command(Chat& chat, std::string_view line) {
  const auto [name, rest] = split_word(line);
  const ChatCommand* command = find_chat_command(name);
  if (command == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "there is no command {}; /help lists them, and a blank before the slash makes a message "
         "of the line",
         name);
  }
  const std::string_view argument = trim(rest);
  if (argument.empty() && !command->argument.empty() && command->argument.front() != '[') {
    fail(ErrorCode::kInvalidArgument, "{} needs a {}", command->name, command->argument);
  }
  if (!argument.empty() && command->argument.empty()) {
    fail(ErrorCode::kInvalidArgument, "{} takes no argument", command->name);
  }
  return command->run(chat, argument);
}

}  // namespace tq
