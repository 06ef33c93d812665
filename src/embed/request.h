// Requests of programs that have the engine inside, as tq serve takes them.
#pragma once

#include <string>

#include "base/json.h"

namespace tq {

struct EmbeddedRequest {
  std::string path;  // "/v1/completions" of one with "prompt", "/v1/chat/completions" of "messages"
  std::string body;
};

// The request's fields are those of these routes (docs/serving.md), the names of sampling and
// grammar options of the command line (temp, repeat_penalty, regex), max_tokens -1 for what the
// context leaves (of a prompt without it 512 at most, as in tq run), and logprobs as a number for
// chats, too. Fields that are null count as absent. stream: whether chunks are wanted. Throws
// kInvalidArgument for what is no object, for a request of no kind or of both, and, unlike a
// server, for fields that nobody knows.
EmbeddedRequest read_request(const Json& request, bool stream);

}  // namespace tq
