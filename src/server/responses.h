// OpenAI's responses API, without state, on top of the chat: bodies are read as the chat they mean,
// answers written from the same deltas.
#pragma once

#include <memory>

#include "base/json.h"
#include "server/api_request.h"
#include "server/reply_writer.h"

namespace tq {

// The body of /v1/chat/completions that asks for what this body of /v1/responses does. Throws
// ApiError.
Json chat_body_of_response(const Json& body);

// body: what was asked, of which answers repeat some; request: the same as it was read.
std::unique_ptr<ReplyWriter> make_responses_writer(ReplyHead head, const Json& body,
                                                   const ApiRequest& request);

}  // namespace tq
