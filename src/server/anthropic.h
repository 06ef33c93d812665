// Anthropic's messages API on top of OpenAI's chat: bodies are read as the chat they mean, answers
// written from the same deltas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/reply_writer.h"

namespace tq {

// The body of /v1/chat/completions that asks for what this body of /v1/messages does. Throws
// ApiError.
Json chat_body_of(const Json& messages_body);

// n_prompt: tokens of the prompt, which a stream begins with.
std::unique_ptr<ReplyWriter> make_messages_writer(ReplyHead head, int64_t n_prompt);

// Whether its errors are written so: {"type":"error","error":{...}}.
bool is_messages_path(std::string_view path);
std::string messages_error_json(const ApiError& error);

}  // namespace tq
