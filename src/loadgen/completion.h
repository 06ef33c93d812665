// What is asked of a server and what its streams say: OpenAI's chats and completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace tq {

enum class Endpoint { kChat, kCompletions };

// "/v1/chat/completions" or "/v1/completions".
const char* endpoint_path(Endpoint endpoint);

struct ChatMessage {
  std::string role;
  std::string content;
};

// One question. ids, where there are any, are sent in place of text; to completions only.
struct LoadPrompt {
  std::string text = {};
  std::vector<int32_t> ids = {};
  int64_t max_tokens = 0;
};

// What every request of a run has.
struct AskOptions {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;
  bool ignore_eos = false;
  Json extra = Json::object();  // sampling and whatever else; outranks what tq writes
};

// The body of a streaming request that asks for usage. history: what was said before, which
// completions get as one text.
std::string request_body(const AskOptions& options, const std::vector<ChatMessage>& history,
                         const LoadPrompt& prompt);

struct StreamUsage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt
};

// What one event of a stream says.
struct StreamPiece {
  bool done = false;       // "[DONE]"
  bool is_choice = false;  // it has choices, so it comes of the model
  bool has_token = false;  // ... and more than a role or an end
  bool finished = false;   // ... and a finish_reason
  std::string text = {};   // content, without reasoning and calls of tools
  std::optional<StreamUsage> usage = std::nullopt;
  std::string error = {};  // an error in place of an answer
};

// Throws kCorrupt for what is neither JSON nor an event of such a stream.
StreamPiece read_stream_event(Endpoint endpoint, const std::string& data);

// The message of an answer that has another status than 200: error.message, or its beginning.
std::string error_text(const std::string& body);

}  // namespace tq
