// Generation as run and chat do it: prompts from texts and conversations, one request on an engine
// with Ctrl-C stopping it, the answer split from the reasoning, and what is said about it
// afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cli/command.h"
#include "engine/engine.h"
#include "engine/load.h"
#include "text/reasoning_parser.h"

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

// max_tokens of a request: the number asked for. For -1 what the context leaves after the prompt
// (at least 1, so that a prompt without room is refused by the engine, with both numbers); when
// nobody asked, that or 512.
int most_tokens(std::optional<int> asked, int64_t context, size_t prompt_tokens);

// Of the whole answer, what was given included.
struct Generation {
  std::string reasoning;
  std::string text;
  std::vector<int32_t> ids;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
};

// Runs one request, whose prompt is set from `prompt`, to its end; Ctrl-C cancels it. Shows the
// progress of a long prompt. on_piece sees what is generated as it comes. Throws kInternal when the
// request fails.
Generation generate(Engine& engine, Request request, Prompt prompt, const GlobalOptions& global,
                    const std::function<void(const ReasoningPiece&)>& on_piece);

// "prompt 31 tokens, 210 tokens/s; answer 64 tokens, 42.1 tokens/s"
std::string describe_rates(const RequestStats& stats);

}  // namespace tq
