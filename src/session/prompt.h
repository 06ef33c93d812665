// Prompts: token ids from texts and conversations.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/checkpoint.h"
#include "text/chat_template.h"
#include "text/reasoning_parser.h"
#include "text/tokenizer.h"

namespace tq {

struct Prompt {
  std::vector<int32_t> ids;
  std::optional<ReasoningParser> parser;  // of what comes; absent: all of it is answer
  std::vector<int32_t> shown_ids;         // what the parser must see
  std::vector<int32_t> given;             // of the answer, which goes on after them
};

// A text as it is: with what the tokenizer puts around texts, but BOS only once where the text
// brings its own.
Prompt text_prompt(const Tokenizer& tokenizer, std::string_view text);

// A conversation rendered by the template, which writes BOS itself. variables: further ones for the
// template.
Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const Json& variables);
// The same with all that a template can be given.
Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const RenderOptions& options);

// The same of a text that the template has written.
Prompt rendered_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                       std::string_view text);

// max_tokens of a request: the number asked for. For -1 what the context leaves after the prompt
// (at least 1, so that a prompt without room is refused by the engine, with both numbers); when
// nobody asked, that or 512.
int most_tokens(std::optional<int> asked, int64_t context, size_t prompt_tokens);

// The template to use; null when none is asked for and the checkpoint has none. Throws kNotFound
// for a name that is neither a template nor a file, and what parsing throws.
std::unique_ptr<ChatTemplate> open_chat_template(const Checkpoint& checkpoint,
                                                 const std::string& asked, bool has_tools);

// A system message, unless it is empty, and a user's.
Json user_messages(const std::string& system, const std::string& text);

}  // namespace tq
