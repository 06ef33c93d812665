// What /set changes while a chat runs. Pure; one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/reasoning_options.h"
#include "session/sampling.h"

namespace tq {

struct ChatSettings {
  SamplingParams sampling;        // but for max_tokens
  std::optional<int> max_tokens;  // of an answer; absent: what the context leaves
  ReasoningOptions reasoning;
  std::optional<int> thinking_budget;  // tokens of reasoning; absent: no limit
  bool drop_oldest = false;            // when the context is full; else stop
  bool wrap = true;                    // words, on a terminal
  bool stats = true;                   // speed after each answer
};

// Changes one setting by its name or another name of it, '_' being as good as '-': ("top_k", "40").
// Throws kInvalidArgument for names that there are not and values that they cannot have; then
// nothing has changed.
void change_setting(ChatSettings& settings, std::string_view name, std::string_view value);

// A line a setting: name, value, what it may be.
std::string list_settings(const ChatSettings& settings);

// Splits at the first blanks: ("top-k", "40") of "top-k 40".
struct WordAndRest {
  std::string_view word;
  std::string_view rest;
};
WordAndRest split_word(std::string_view text);
// The text without double quotes around it.
std::string_view unquoted(std::string_view text);

}  // namespace tq
