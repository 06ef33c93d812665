// The routes of an Api that need the tokenizer, the chat template or the engine.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "server/anthropic.h"
#include "server/api.h"
#include "server/api_request.h"
#include "server/fields.h"
#include "server/json_text.h"
#include "server/responses.h"
#include "server/tools/forced_calls.h"
#include "session/prompt.h"
#include "session/thinking_budget.h"

namespace tq {
namespace {

// The body, which is not kept while the request is answered.
Json take_body(Call& call) { return parse_body(std::exchange(call.request.body, {})); }

std::vector<int32_t> read_ids(const Json& list, const std::string& name, int32_t n_tokens) {
  check_field(name, FieldType::kArray, 1, std::numeric_limits<int32_t>::max(), list);
  std::vector<int32_t> ids;
  for (const Json& item : list) {
    const auto id = json_integer(item, 0, n_tokens - 1);
    if (!id) {
      throw ApiError(400,
                     fmt::format("{} holds {}: token ids are 0 to {}", name, json_for_message(item),
                                 n_tokens - 1),
                     name, "invalid_value");
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

std::string ids_json(const std::vector<int32_t>& ids) {
  std::string out = "[";
  for (const int32_t id : ids) out += (out.size() > 1 ? "," : "") + std::to_string(id);
  return out + "]";
}

const ChatTemplate& template_for(const ServedModel& model, bool has_tools) {
  const ChatTemplate* found = has_tools ? model.tool_template : model.chat_template;
  if (found == nullptr) {
    throw ApiError(400,
                   "this model has no chat template: ask /v1/completions, or start the server with "
                   "--chat-template",
                   "", "no_chat_template");
  }
  return *found;
}

RenderOptions render_options(const ApiRequest& request) {
  RenderOptions options;
  options.add_generation_prompt = request.add_generation_prompt;
  options.tools = request.tools;
  options.extra = request.template_variables;
  return options;
}

// What a template or the tokenizer refuses is the client's.
template <typename Make>
auto refusing(Make make) {
  try {
    return make();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
    throw ApiError(400, error.what(), "", "invalid_prompt");
  }
}

// The chat as the template writes it.
std::string render_chat(const ChatTemplate& chat_template, const ApiRequest& request) {
  if (!request.continues) {
    return refusing(
        [&] { return chat_template.render(request.messages, render_options(request)); });
  }
  // Templates put something behind each message, and may trim it: so its end is marked.
  constexpr const char* kMark =
      "\xEE\x80\x80"
      "continued here"
      "\xEE\x80\x81";
  Json messages = request.messages;
  Json& content = messages.back()["content"];
  content = content.get<std::string>() + kMark;
  std::string text =
      refusing([&] { return chat_template.render(messages, render_options(request)); });
  const size_t end = text.rfind(kMark);
  if (end == std::string::npos) {
    throw ApiError(400, "this model's chat template does not write the last message as it is",
                   "continue_final_message", "invalid_prompt");
  }
  text.resize(end);
  return text;
}

Prompt chat_prompt_of(const ServedModel& model, const ApiRequest& request) {
  const ChatTemplate& chat_template = template_for(model, !request.tools.is_null());
  const std::string text = render_chat(chat_template, request);
  return refusing([&] { return rendered_prompt(*model.tokenizer, chat_template, text); });
}

// The prompt of a chat, and how calls are found in its answers.
ReplyArgs chat_args(const std::shared_ptr<Call>& call, const ServedModel& model,
                    const ApiRequest& request) {
  ReplyArgs args;
  args.call = call;
  args.prompts.push_back(chat_prompt_of(model, request));
  const bool has_tools = !request.tools.is_null();
  const ToolFormat* format = find_tool_format(template_for(model, has_tools).source());
  if (request.must_call) {
    args.constrain = constrain_to(
        forced_calls_grammar({.format = format,
                              .tools = request.tools,
                              .name = request.must_call_name,
                              .several = request.parallel_calls && request.must_call_name.empty()},
                             model.tokenizer),
        model.grammars);
  }
  if (format == nullptr || (!has_tools && format->make == nullptr)) return args;
  args.tool_format = format;
  args.tools = request.tools;
  args.parallel_calls = request.parallel_calls;
  for (const int32_t id : tool_tag_ids(*format, *model.tokenizer)) {
    args.prompts[0].shown_ids.push_back(id);
  }
  return args;
}

void limit_thinking_of(const ApiRequest& request, const ServedModel& model, ReplyArgs& args) {
  if (!args.prompts[0].parser) {
    throw ApiError(400, "this model marks no reasoning, so that it cannot be limited",
                   "thinking_budget", "unsupported_parameter");
  }
  args.constrain = [inner = std::move(args.constrain), budget = *request.thinking_budget,
                    tokenizer = model.tokenizer](const Prompt& prompt) {
    return limit_thinking(budget, prompt.parser, tokenizer, inner ? inner(prompt) : nullptr);
  };
}

}  // namespace

Api::Place Api::take_places(int64_t n) {
  const int64_t most = model().n_sequences + options_.max_queue;
  int64_t before = n_open_;
  do {
    if (before + n > most) {
      throw ApiError(
          429,
          fmt::format("{} requests are under way, and no more than {} are taken", before, most), "",
          "queue_full");
    }
  } while (!n_open_.compare_exchange_weak(before, before + n));
  return {this, [this, n](void*) { n_open_ -= n; }};
}

ReplyHead Api::head_of(const ApiRequest& request, const ServedModel& model,
                       const char* prefix) const {
  return {.id = prefix + random_name(),
          .model = request.model.empty() ? options_.model_names[0] : request.model,
          .created = unix_seconds(),
          .has_logprobs = request.n_logprobs.has_value(),
          .includes_usage = request.include_usage,
          .tokenizer = model.tokenizer};
}

void Api::post_completions(const CallPtr& call) {
  work(call, [this, call](const ServedModel& model, const Place& place) {
    complete(call, model, place);
  });
}

void Api::complete(const CallPtr& call, const ServedModel& model, const Place& place) {
  const Json body = take_body(*call);
  check_model_name(body);
  const ApiRequest request = read_completion_request(body, model.sampling);
  ReplyArgs args;
  args.call = call;
  args.writer = make_completion_writer(head_of(request, model, "cmpl-"));
  for (const Json& prompt : request.prompts) {
    if (prompt.is_string()) {
      args.prompts.push_back(refusing(
          [&] { return text_prompt(*model.tokenizer, prompt.get_ref<const std::string&>()); }));
    } else {
      args.prompts.push_back({.ids = read_ids(prompt, "prompt", model.n_tokens)});
    }
    if (request.echo) {
      args.echoes.push_back(prompt.is_string()
                                ? prompt.get<std::string>()
                                : model.tokenizer->decode(args.prompts.back().ids, true));
    }
  }
  reply(model, place, request, std::move(args));
}

void Api::post_chat(const CallPtr& call) {
  work(call,
       [this, call](const ServedModel& model, const Place& place) { chat(call, model, place); });
}

void Api::chat(const CallPtr& call, const ServedModel& model, const Place& place) {
  const Json body = take_body(*call);
  check_model_name(body);
  const ApiRequest request = read_chat_request(body, model.sampling);
  ReplyArgs args = chat_args(call, model, request);
  args.writer = make_chat_writer(head_of(request, model, "chatcmpl-"));
  reply(model, place, request, std::move(args));
}

void Api::post_responses(const CallPtr& call) {
  work(call,
       [this, call](const ServedModel& model, const Place& place) { respond(call, model, place); });
}

void Api::respond(const CallPtr& call, const ServedModel& model, const Place& place) {
  const Json body = take_body(*call);
  check_model_name(body);
  const ApiRequest request = read_chat_request(chat_body_of_response(body), model.sampling);
  ReplyArgs args = chat_args(call, model, request);
  args.writer = make_responses_writer(head_of(request, model, "resp_"), body, request);
  reply(model, place, request, std::move(args));
}

void Api::post_messages(const CallPtr& call) {
  work(call,
       [this, call](const ServedModel& model, const Place& place) { message(call, model, place); });
}

void Api::message(const CallPtr& call, const ServedModel& model, const Place& place) {
  const Json body = take_body(*call);
  check_model_name(body);
  check_field("max_tokens", FieldType::kInteger, 1, std::numeric_limits<int32_t>::max(),
              body.value("max_tokens", Json()));
  ApiRequest request = read_chat_request(chat_body_of(body), model.sampling);
  ReplyArgs args = chat_args(call, model, request);
  // Agents send it to every model; one that marks no reasoning spends nothing of it.
  if (!args.prompts[0].parser) request.thinking_budget.reset();
  args.writer = make_messages_writer(head_of(request, model, "msg_"),
                                     static_cast<int64_t>(args.prompts[0].ids.size()));
  reply(model, place, request, std::move(args));
}

void Api::post_count_tokens(const CallPtr& call) {
  work(call, [this, call](const ServedModel& model, const Place&) {
    const Json body = take_body(*call);
    check_model_name(body);
    const ApiRequest request = read_chat_request(chat_body_of(body), model.sampling);
    call->send({.status = 200,
                .body = fmt::format(R"({{"input_tokens":{}}})",
                                    chat_prompt_of(model, request).ids.size())});
  });
}

void Api::reply(const ServedModel& model, const Place& place, const ApiRequest& request,
                ReplyArgs args) {
  for (const Prompt& prompt : args.prompts) {
    const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
    if (n_prompt == 0) throw ApiError(400, "the prompt is empty", "prompt", "invalid_prompt");
    const int64_t room = model.context - n_prompt;
    if (room < 1) {
      throw ApiError(400,
                     fmt::format("the prompt is {} tokens long, and the context of this server is "
                                 "{}: the answer needs one of them",
                                 n_prompt, model.context),
                     "", "context_length_exceeded");
    }
    SamplingParams sampling = request.sampling;
    sampling.max_tokens =
        static_cast<int>(std::min({request.max_tokens.value_or(room), room,
                                   static_cast<int64_t>(std::numeric_limits<int>::max())}));
    sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);
    // The sampler's own checks, among them of ids, before anything is answered.
    refusing([&] { return Sampler(sampling, model.n_tokens); });
    args.sampling.push_back(std::move(sampling));
  }
  if (request.grammar) args.constrain = constrain_to(*request.grammar, model.grammars);
  if (request.thinking_budget) limit_thinking_of(request, model, args);
  const auto n_answers = static_cast<int64_t>(args.prompts.size()) * request.n;
  if (const int64_t most = model.n_sequences + options_.max_queue; n_answers > most) {
    throw ApiError(400,
                   fmt::format("the request is for {} answers, and this server takes {} at a time",
                               n_answers, most),
                   "n", "invalid_value");
  }
  const Place others = n_answers > 1 ? take_places(n_answers - 1) : nullptr;
  args.place = std::make_shared<std::pair<Place, Place>>(place, others);
  args.post = post_;
  args.service = [this] { return has_model_ ? model_->service : nullptr; };
  args.metrics = &metrics_;
  args.stream = request.stream;
  args.n = request.n;
  args.n_logprobs = request.n_logprobs;
  args.priority = request.priority;
  std::make_shared<Reply>(std::move(args))->begin();
}

void Api::post_tokenize(const CallPtr& call) {
  work(call, [this, call](const ServedModel& model, const Place&) {
    const Json body = take_body(*call);
    check_model_name(body);
    std::vector<int32_t> ids;
    if (body.contains("messages")) {
      ids = chat_prompt_of(model, read_chat_request(body, model.sampling)).ids;
    } else {
      const Json prompt = body.value("prompt", Json());
      check_field("prompt", FieldType::kString, 0, kNoLimit, prompt);
      Json special = body.value("add_special_tokens", Json());
      if (special.is_null()) special = true;
      check_field("add_special_tokens", FieldType::kBool, 0, 0, special);
      ids = refusing([&] {
        return model.tokenizer->encode(prompt.get_ref<const std::string&>(),
                                       {.add_special = special.get<bool>()});
      });
    }
    call->send({.status = 200,
                .body = fmt::format(R"({{"count":{},"max_model_len":{},"tokens":{}}})", ids.size(),
                                    model.context, ids_json(ids))});
  });
}

void Api::post_detokenize(const CallPtr& call) {
  work(call, [this, call](const ServedModel& model, const Place&) {
    const Json body = take_body(*call);
    check_model_name(body);
    const Json tokens = body.value("tokens", Json::array());
    std::vector<int32_t> ids;
    if (!tokens.is_null() && tokens != Json::array())
      ids = read_ids(tokens, "tokens", model.n_tokens);
    call->send({.status = 200,
                .body = fmt::format(R"({{"prompt":{}}})",
                                    json_string(model.tokenizer->decode(ids, false)))});
  });
}

void Api::post_apply_template(const CallPtr& call) {
  work(call, [this, call](const ServedModel& model, const Place&) {
    const Json body = take_body(*call);
    check_model_name(body);
    const ApiRequest request = read_chat_request(body, model.sampling);
    const ChatTemplate& chat_template = template_for(model, !request.tools.is_null());
    const std::string text = render_chat(chat_template, request);
    call->send({.status = 200, .body = fmt::format(R"({{"prompt":{}}})", json_string(text))});
  });
}

}  // namespace tq
