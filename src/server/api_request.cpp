#include "server/api_request.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "server/fields.h"
#include "session/sampling.h"

namespace tq {
namespace {

using enum FieldType;

constexpr double kMostTokens = std::numeric_limits<int32_t>::max();
constexpr double kMostChoices = 128;
constexpr double kMostStops = 64;
constexpr double kMostStopBytes = 4096;
constexpr double kMostBiases = 4096;
constexpr double kMostPrompts = 256;
constexpr double kMostMessages = 65536;

constexpr std::array<RefusedField, 6> kRefused = {{
    {"functions", "this form was replaced by tools"},
    {"function_call", "this form was replaced by tool_choice"},
    {"prompt_logprobs", "log probabilities of prompts are not supported"},
    {"use_beam_search", "there is no beam search"},
    {"suffix", "text is not filled in between a prompt and a suffix"},
    {"prompt_embeds", "prompts are texts or token ids"},
}};

float number(const Json& value) { return static_cast<float>(value.get<double>()); }
int integer(const Json& value) {  // in the range of its field, which an int holds
  return static_cast<int>(
      *json_integer(value, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
}

void set_stop(ApiRequest& request, const Json& value) {
  request.sampling.stop.clear();
  const Json list = value.is_array() ? value : Json::array({value});
  check_field("stop", kArray, 0, kMostStops, list);
  for (const Json& text : list) {
    check_field("stop", kString, 1, kMostStopBytes, text);
    request.sampling.stop.push_back(text.get<std::string>());
  }
}

void set_stop_ids(ApiRequest& request, const Json& value) {
  for (const Json& id : value) {
    check_field("stop_token_ids", kInteger, 0, kMostTokens, id);
    request.sampling.stop_ids.push_back(integer(id));
  }
}

void set_biases(ApiRequest& request, const Json& value) {
  for (const auto& [key, bias] : value.items()) {
    int32_t id = -1;
    const auto read = std::from_chars(key.data(), key.data() + key.size(), id);
    if (read.ec != std::errc() || read.ptr != key.data() + key.size() || id < 0) {
      throw ApiError(400, "logit_bias: its keys are token ids", "logit_bias", "invalid_value");
    }
    check_field("logit_bias", kNumber, -100, 100, bias);
    request.sampling.logit_bias[id] = number(bias);
  }
}

void set_stream_options(ApiRequest& request, const Json& value) {
  const Json usage = value.value("include_usage", Json(false));
  if (usage.is_null()) return;
  check_field("stream_options.include_usage", kBool, 0, 0, usage);
  request.include_usage = usage.get<bool>();
}

void set_max_tokens(ApiRequest& request, const Json& value) {
  request.max_tokens = *json_integer(value, 1, std::numeric_limits<int32_t>::max());
}

void set_thinking_budget(ApiRequest& request, const Json& value) {
  request.thinking_budget = *json_integer(value, 0, std::numeric_limits<int32_t>::max());
}

// As some clients say effort and budget, in one.
void set_reasoning(ApiRequest& request, const Json& value) {
  const Json effort = value.value("effort", Json());
  if (!effort.is_null()) {
    check_field("reasoning.effort", kString, 0, 64, effort);
    request.template_variables["reasoning_effort"] = effort;
  }
  const Json most = value.value("max_tokens", Json());
  if (most.is_null()) return;
  check_field("reasoning.max_tokens", kInteger, 0, kMostTokens, most);
  set_thinking_budget(request, most);
}

using ApiField = Field<ApiRequest>;

// Of both kinds of requests.
constexpr std::array<ApiField, 20> kCommon = {{
    {"model", kString, 0, 4096,
     [](ApiRequest& r, const Json& v) { r.model = v.get<std::string>(); }},
    {"stream", kBool, 0, 0, [](ApiRequest& r, const Json& v) { r.stream = v.get<bool>(); }},
    {"stream_options", kObject, 0, 64, set_stream_options},
    {"n", kInteger, 1, kMostChoices, [](ApiRequest& r, const Json& v) { r.n = integer(v); }},
    {"max_tokens", kInteger, 1, kMostTokens, set_max_tokens},
    {"min_tokens", kInteger, 0, kMostTokens,
     [](ApiRequest& r, const Json& v) { r.sampling.min_tokens = integer(v); }},
    {"temperature", kNumber, 0, 100,
     [](ApiRequest& r, const Json& v) { r.sampling.temperature = number(v); }},
    {"top_p", kNumber, 0, 1, [](ApiRequest& r, const Json& v) { r.sampling.top_p = number(v); }},
    {"top_k", kInteger, -1, kMostTokens,
     [](ApiRequest& r, const Json& v) { r.sampling.top_k = std::max(0, integer(v)); }},
    {"min_p", kNumber, 0, 1, [](ApiRequest& r, const Json& v) { r.sampling.min_p = number(v); }},
    {"presence_penalty", kNumber, -2, 2,
     [](ApiRequest& r, const Json& v) { r.sampling.presence_penalty = number(v); }},
    {"frequency_penalty", kNumber, -2, 2,
     [](ApiRequest& r, const Json& v) { r.sampling.frequency_penalty = number(v); }},
    {"repetition_penalty", kNumber, 0, 100,
     [](ApiRequest& r, const Json& v) { r.sampling.repetition_penalty = number(v); }},
    {"seed", kInteger, -kNoLimit, kNoLimit,
     [](ApiRequest& r, const Json& v) {
       r.sampling.seed = static_cast<uint64_t>(*json_integer(v, std::numeric_limits<int64_t>::min(),
                                                             std::numeric_limits<int64_t>::max()));
     }},
    {"stop", kAny, 0, 0, set_stop},
    {"stop_token_ids", kArray, 0, kMostStops, set_stop_ids},
    {"logit_bias", kObject, 0, kMostBiases, set_biases},
    {"ignore_eos", kBool, 0, 0,
     [](ApiRequest& r, const Json& v) { r.sampling.ignore_eos = v.get<bool>(); }},
    {"priority", kInteger, -kNoLimit, kNoLimit,
     [](ApiRequest& r, const Json& v) {
       r.priority = *json_integer(v, std::numeric_limits<int64_t>::min(),
                                  std::numeric_limits<int64_t>::max());
     }},
    {"best_of", kInteger, 1, kMostChoices,
     [](ApiRequest& r, const Json& v) {
       if (integer(v) == r.n) return;
       throw ApiError(400, "best_of other than n is not supported", "best_of",
                      "unsupported_parameter");
     }},
}};

constexpr std::array<ApiField, 2> kCompletion = {{
    {"logprobs", kInteger, 0, 20, [](ApiRequest& r, const Json& v) { r.n_logprobs = integer(v); }},
    {"echo", kBool, 0, 0, [](ApiRequest& r, const Json& v) { r.echo = v.get<bool>(); }},
}};

constexpr std::array<ApiField, 11> kChat = {{
    {"parallel_tool_calls", kBool, 0, 0,
     [](ApiRequest& r, const Json& v) { r.parallel_calls = v.get<bool>(); }},
    {"max_completion_tokens", kInteger, 1, kMostTokens, set_max_tokens},
    {"logprobs", kBool, 0, 0,
     [](ApiRequest& r, const Json& v) {
       if (v.get<bool>()) r.n_logprobs = 0;
     }},
    {"top_logprobs", kInteger, 0, 20,
     [](ApiRequest& r, const Json& v) {
       if (r.n_logprobs) {
         r.n_logprobs = integer(v);
       } else if (integer(v) > 0) {
         throw ApiError(400, "top_logprobs needs logprobs to be true", "top_logprobs",
                        "invalid_value");
       }
     }},
    {"add_generation_prompt", kBool, 0, 0,
     [](ApiRequest& r, const Json& v) { r.add_generation_prompt = v.get<bool>(); }},
    {"reasoning_effort", kString, 0, 64,
     [](ApiRequest& r, const Json& v) { r.template_variables["reasoning_effort"] = v; }},
    {"reasoning", kObject, 0, 64, set_reasoning},
    {"thinking_budget", kInteger, 0, kMostTokens, set_thinking_budget},
    {"thinking_token_budget", kInteger, 0, kMostTokens, set_thinking_budget},
    {"chat_template_kwargs", kObject, 0, 256,
     [](ApiRequest& r, const Json& v) { r.template_variables.update(v); }},
    {"continue_final_message", kBool, 0, 0,
     [](ApiRequest& r, const Json& v) { r.continues = v.get<bool>(); }},
}};

ApiRequest read_common(const Json& body, const SamplingParams& defaults) {
  ApiRequest request;
  request.sampling = defaults;
  request.sampling.max_tokens = std::numeric_limits<int>::max();
  request.sampling.seed = draw_seed();
  refuse_fields(body, kRefused);
  read_fields<ApiRequest>(body, kCommon, request);
  request.grammar = read_grammar(body);
  return request;
}

// What the sampler itself would refuse, before anything has been answered.
void check_sampling(const ApiRequest& request) {
  try {
    SamplingParams sampling = request.sampling;
    if (request.max_tokens) sampling.max_tokens = static_cast<int>(*request.max_tokens);
    sampling.validate();
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "", "invalid_value");
  }
}

void check_continuation(const Json& body, ApiRequest& request) {
  if (!request.continues) return;
  constexpr const char* kField = "continue_final_message";
  if (body.value("add_generation_prompt", Json()) == Json(true)) {
    throw ApiError(400, "continue_final_message and add_generation_prompt exclude each other",
                   kField, "invalid_value");
  }
  request.add_generation_prompt = false;
  const Json& last = request.messages.back();
  if (last.value("content", Json()).is_string() && !last.contains("tool_calls")) return;
  throw ApiError(400, "continue_final_message needs a last message of text", kField,
                 "invalid_value");
}

bool is_ids(const Json& value) {
  return value.is_array() && !value.empty() && value[0].is_number();
}

}  // namespace

ApiRequest read_completion_request(const Json& body, const SamplingParams& defaults) {
  ApiRequest request = read_common(body, defaults);
  if (!request.max_tokens) request.max_tokens = 16;  // as OpenAI has it
  read_fields<ApiRequest>(body, kCompletion, request);
  check_sampling(request);
  const Json prompt = body.value("prompt", Json());
  if (prompt.is_null()) {
    throw ApiError(400, "the request has no prompt", "prompt", "missing_required_parameter");
  }
  const Json prompts = prompt.is_string() || is_ids(prompt) ? Json::array({prompt}) : prompt;
  check_field("prompt", kArray, 1, kMostPrompts, prompts);
  for (const Json& one : prompts) {
    if (!one.is_string() && !is_ids(one)) {
      throw ApiError(400,
                     fmt::format("prompt holds {}: it is a text, an array of token ids, or an "
                                 "array of these",
                                 json_for_message(one)),
                     "prompt", "invalid_type");
    }
    request.prompts.push_back(one);
  }
  if (request.echo && request.n_logprobs) {
    throw ApiError(400,
                   "echo with logprobs needs log probabilities of the prompt, which are not "
                   "supported",
                   "echo", "unsupported_parameter");
  }
  return request;
}

ApiRequest read_chat_request(const Json& body, const SamplingParams& defaults) {
  ApiRequest request = read_common(body, defaults);
  read_fields<ApiRequest>(body, kChat, request);
  check_sampling(request);
  const Json messages = body.value("messages", Json());
  if (messages.is_null()) {
    throw ApiError(400, "the request has no messages", "messages", "missing_required_parameter");
  }
  check_field("messages", kArray, 1, kMostMessages, messages);
  request.messages = read_messages(messages);
  check_continuation(body, request);
  read_tools(body, request);
  if (request.must_call && request.grammar) {
    throw ApiError(400,
                   request.grammar->field +
                       " is about text, and tool_choice wants calls: one of "
                       "them can be held to",
                   "tool_choice", "invalid_value");
  }
  return request;
}

}  // namespace tq
