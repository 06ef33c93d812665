// The commands of tq chat: one row a command. What begins with a slash is a command.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tq {

class Chat;

// What follows a command.
enum class ChatStep { kGoOn, kLeave };

struct ChatCommand {
  std::string_view name;         // "/save"
  std::string_view other_names;  // between blanks
  std::string_view argument;     // "FILE"; "" where there is none, "[TEXT]" where it may be absent
  std::string_view help;
  // argument: what follows the name, without blanks around it.
  ChatStep (*run)(Chat& chat, std::string_view argument);
};

// By its name or another one; null if there is none.
const ChatCommand* find_chat_command(std::string_view name);
// The list of /help.
std::string chat_help();

// Runs a line that begins with a slash. Throws kInvalidArgument for a command that there is not, an
// argument too many or too few, and what the command throws.
ChatStep run_chat_command(Chat& chat, std::string_view line);

}  // namespace tq
