// Conversations as JSON files: what /save writes and /load reads. An object whose "messages" is a
// list in OpenAI's form ({"role", "content", ...}), as a request's body has it; a bare list is read
// too.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace tq {

// The list of messages: objects with a known role and a text, parts or tool calls. Throws
// kNotFound, kIo, and kCorrupt for what is not such a file, saying which message is wrong.
Json read_transcript(const std::string& path);

// Writes a file, or replaces one that holds a conversation. model: what answered. Throws
// kInvalidArgument for a file that is something else, and what write_file_atomic throws.
void write_transcript(const std::string& path, std::string_view model, const Json& messages);

}  // namespace tq
