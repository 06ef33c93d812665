// Generation as run and chat do it: prompts from chat templates, one request on an engine with
// Ctrl-C stopping it, and what is said about it afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/engine.h"
#include "engine/load.h"

namespace tq {

// Tokens of a conversation rendered by the template. The template writes BOS itself, so the
// tokenizer adds none.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 const Json& messages);

// max_tokens when nobody asked for a number: 512, or what the context leaves after the prompt (at
// least 1, so that a prompt without room is refused by the engine, with both numbers).
int default_max_tokens(int64_t context, size_t prompt_tokens);

struct Generation {
  std::string text;
  std::vector<int32_t> ids;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
};

// Runs one request to its end; Ctrl-C cancels it. on_output sees every output as it comes. Throws
// kInternal when the request fails.
Generation generate(Engine& engine, Request request,
                    const std::function<void(const Output&)>& on_output);

// "prompt 31 tokens, 210 tokens/s; answer 64 tokens, 42.1 tokens/s"
std::string describe_rates(const RequestStats& stats);

}  // namespace tq
