// What clients ask for in a body of /v1/completions and /v1/chat/completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/sampler.h"
#include "server/structured.h"

namespace tq {

struct ApiRequest {
  std::string model;
  bool stream = false;
  bool include_usage = false;  // in a stream; other answers always have it
  int n = 1;
  std::optional<int64_t> max_tokens;
  SamplingParams sampling;              // but for max_tokens
  std::optional<int> n_logprobs;        // of the most probable tokens beside the chosen one
  std::optional<AskedGrammar> grammar;  // absent: any text
  int64_t priority = 0;                 // Request::priority

  // Of completions.
  std::vector<Json> prompts;  // texts, or arrays of ids
  bool echo = false;

  // Of chats.
  Json messages;  // as a template takes them
  Json tools;     // null: none
  bool parallel_calls = true;
  bool must_call = false;      // the answer must be calls of tools
  std::string must_call_name;  // of this one; empty: any
  bool add_generation_prompt = true;
  bool continues = false;  // the last message, instead of answering it
  Json template_variables = Json::object();
  std::optional<int64_t> thinking_budget;  // tokens of reasoning; absent: no limit
};

// defaults: sampling where nothing is asked for; a seed that is not given is drawn. Throws
// ApiError.
ApiRequest read_completion_request(const Json& body, const SamplingParams& defaults);
ApiRequest read_chat_request(const Json& body, const SamplingParams& defaults);

// Parts that are texts, one below the other. Throws ApiError naming the part.
std::string join_text_parts(const Json& parts, const std::string& where);

// The messages of a chat for a template: parts of text joined, "developer" as "system", arguments
// of tool calls as objects, `reasoning` as `reasoning_content`. Throws ApiError naming message and
// part.
Json read_messages(const Json& messages);
// Reads tools, which stay null where tool_choice is "none", and tool_choice. Throws ApiError.
void read_tools(const Json& body, ApiRequest& request);

}  // namespace tq
