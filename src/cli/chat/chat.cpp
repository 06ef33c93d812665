#include "cli/chat/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/human.h"
#include "base/log.h"
#include "cli/answer_printer.h"
#include "cli/chat/transcript_file.h"
#include "cli/result.h"
#include "cli/template_options.h"
#include "engine/model_limits.h"
#include "session/thinking_budget.h"

namespace tq {
namespace {

// The storage of most of the bytes.
std::string main_storage(const Checkpoint& checkpoint) {
  std::map<std::string, int64_t> bytes;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    bytes[tensor.storage] += tensor.stored_bytes;
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : most->first;
}

// Without the folder.
std::string name_of(const std::string& path) {
  const fs::path whole = fs::path(path).lexically_normal();
  return (whole.has_filename() ? whole.filename() : whole.parent_path().filename()).string();
}

}  // namespace

Chat::Chat(const ChatOptions& options, const GlobalOptions& global)
    : global_(global),
      model_options_(options.model),
      model_name_(name_of(options.model.path)),
      format_(options.model.preset.empty() ? options.model.format : options.model.preset),
      loaded_(open_model(options.model, {.text = true}, global)),
      template_(loaded_.tokenizer
                    ? open_chat_template(*loaded_.checkpoint, options.chat_template, false)
                    : nullptr),
      transcript_(options.system) {
  if (!template_) {
    fail(ErrorCode::kInvalidArgument, "{} has no {}: use tq run --raw", options.model.path,
         loaded_.tokenizer ? "chat template" : "tokenizer.json");
  }
  settings_.sampling = options.sampling.over(loaded_.sampling);
  settings_.thinking_budget = options.sampling.thinking_budget;
  if (options.sampling.max_tokens != -1) settings_.max_tokens = options.sampling.max_tokens;
  settings_.reasoning = options.reasoning;
  settings_.drop_oldest = options.context_full == "drop-oldest";
  settings_.wrap = !options.no_wrap;
  variables_ = options.reasoning.template_variables(*template_);
  max_context_ = context_limit(*loaded_.model);
  service_.emplace(
      *loaded_.model, loaded_.tokenizer, loaded_.eos_ids,
      EngineOptions{.kv_format = options.model.kv(), .suppressed_ids = loaded_.not_text});
  if (global_.jsonl) print_json(typed("start", head()));
}

Json Chat::head() const {
  Json json = result_json("chat", model_options_, loaded_);
  json["seed"] = settings_.sampling.seed + n_retries_;
  return json;
}

std::string Chat::description() const {
  const Model& model = *loaded_.model;
  const std::string format = format_.empty() ? main_storage(*loaded_.checkpoint) : format_;
  return fmt::format(
      "{}: {}, {} parameters, {} ({} in memory); context {} of {} tokens; {}; {}", model_name_,
      model.spec().arch, human_count(static_cast<double>(model.n_parameters())), format,
      human_bytes(static_cast<double>(model.weight_bytes())), max_context_,
      model.spec().max_position, loaded_.backend->description(), list_sampling(settings_.sampling));
}

void Chat::restart(std::string_view system) {
  transcript_.restart(std::string(system));
  last_ = {};
  n_in_context_ = 0;
}

void Chat::say(const std::string& text) {
  transcript_.ask(text);
  n_retries_ = 0;
  try {
    if (!answer({})) transcript_.undo();
  } catch (const Error&) {
    transcript_.undo();
    throw;
  }
}

std::vector<int32_t> Chat::last_ids() const {
  const Json* last = transcript_.last_answer();
  if (last == nullptr) fail(ErrorCode::kInvalidArgument, "/continue: there is no answer yet");
  if (last_.finish == FinishReason::kStop) {
    fail(ErrorCode::kInvalidArgument, "/continue: the answer is complete");
  }
  if (!last_.ids.empty()) return last_.ids;
  // Of a conversation that was loaded.
  const auto content = last->find("content");
  if (last->contains("reasoning_content") || content == last->end() || !content->is_string()) {
    fail(ErrorCode::kInvalidArgument,
         "/continue: an answer of a loaded conversation must be a text without reasoning");
  }
  return loaded_.tokenizer->encode(content->get_ref<const std::string&>(), {.add_special = false});
}

void Chat::go_on() {
  std::vector<int32_t> given;
  if (!transcript_.ends_with_question()) given = last_ids();
  const Transcript before = transcript_;
  transcript_.take_answer_back();
  try {
    if (!answer(std::move(given))) transcript_ = before;
  } catch (const Error&) {
    transcript_ = before;
    throw;
  }
}

void Chat::retry() {
  const Transcript before = transcript_;
  if (!transcript_.take_answer_back() && !transcript_.ends_with_question()) {
    fail(ErrorCode::kInvalidArgument, "/retry: there is no answer yet");
  }
  ++n_retries_;
  if (settings_.sampling.temperature == 0 && transcript_ != before) {
    info("[greedy: the answer will be the same; /set temperature 0.7 gives others]");
  }
  try {
    if (!answer({})) transcript_ = before;
  } catch (const Error&) {
    transcript_ = before;
    throw;
  }
}

std::string Chat::undo() {
  if (transcript_.n_turns() == 0) fail(ErrorCode::kInvalidArgument, "/undo: nothing was said");
  std::string question = transcript_.undo();
  last_ = {.ids = {}, .finish = FinishReason::kStop};  // of a turn before
  return question;
}

void Chat::save(const std::string& path) const {
  write_transcript(path, model_name_, transcript_.messages());
}

void Chat::load(const std::string& path) {
  Json messages = read_transcript(path);
  restart("");
  transcript_.replace(std::move(messages));
}

void Chat::set(std::string_view text) {
  WordAndRest parts = split_word(text);
  if (parts.word == "parameter") parts = split_word(parts.rest);  // as Ollama has it
  if (parts.word.empty()) {
    print_text(list_settings(settings_));
    return;
  }
  if (parts.word == "system") {
    restart(unquoted(parts.rest));
    return;
  }
  ChatSettings changed = settings_;
  change_setting(changed, parts.word, parts.rest);
  variables_ = changed.reasoning.template_variables(*template_);
  settings_ = std::move(changed);
}

void Chat::print_stats() const {
  const int64_t context = max_context_;
  print_text(fmt::format(
      "{}\nturns {}, {} of {} tokens of the context in use\n"
      "prompts {} tokens ({} reused), {:.1f} tokens/s; answers {} tokens, {:.1f} tokens/s\n",
      description(), transcript_.n_turns(), n_in_context_, context, totals_.prompt_tokens,
      totals_.reused_tokens, totals_.prefill_rate(), totals_.generated_tokens,
      totals_.decode_seconds > 0
          ? static_cast<double>(totals_.generated_tokens) / totals_.decode_seconds
          : 0.0));
  if (transcript_.n_dropped() > 0) {
    print_text(
        fmt::format("the model sees the oldest {} turns no more\n", transcript_.n_dropped()));
  }
}

Prompt Chat::make_prompt(std::vector<int32_t> given) {
  const int64_t context = max_context_;
  // An answer needs some room before it is worth to begin one.
  const int64_t room =
      settings_.max_tokens ? std::min<int64_t>(*settings_.max_tokens, context / 2) : context / 4;
  const int64_t n_dropped = transcript_.n_dropped();
  for (;;) {
    Prompt prompt = chat_prompt(*loaded_.tokenizer, *template_, transcript_.visible(), variables_);
    const auto n = static_cast<int64_t>(prompt.ids.size() + given.size());
    if (!settings_.drop_oldest || n + room <= context || !transcript_.drop_oldest()) {
      if (transcript_.n_dropped() > n_dropped) {
        info("[the context of {} tokens is full: the model sees the oldest {} turns no more]",
             context, transcript_.n_dropped());
      }
      prompt.given = std::move(given);
      return prompt;
    }
  }
}

Request Chat::make_request(const Prompt& prompt) {
  Request request;
  request.sampling = settings_.sampling;
  request.sampling.seed += n_retries_;
  const int64_t left = max_context_ - static_cast<int64_t>(prompt.ids.size() + prompt.given.size());
  const int64_t most = settings_.max_tokens ? *settings_.max_tokens : left;
  // Without room for a token the engine says so, with its numbers.
  request.sampling.max_tokens = static_cast<int>(std::max<int64_t>(std::min(most, left), 1));
  if (settings_.thinking_budget) {
    request.constraint =
        limit_thinking(*settings_.thinking_budget, prompt.parser, loaded_.tokenizer, nullptr);
  }
  return request;
}

bool Chat::answer(std::vector<int32_t> given) {
  Prompt prompt = make_prompt(std::move(given));
  const bool has_reasoning = prompt.parser.has_value();
  Request request = make_request(prompt);
  AnswerPrinter printer(settings_.reasoning, settings_.wrap);
  const Generation result = generate(*service_, std::move(request), std::move(prompt), global_,
                                     [&](const ReasoningPiece& piece) {
                                       if (global_.jsonl) {
                                         print_json(piece_json(piece));
                                       } else if (!global_.json) {
                                         printer.print(piece);
                                       }
                                     });
  if (!global_.json) printer.finish();
  count(result.stats);
  interrupted_ = result.finish == FinishReason::kCancelled;
  const bool came = !result.ids.empty() || !interrupted_;
  if (came) {
    last_ = {result.ids, result.finish};
    // The template decides what later turns see of the reasoning.
    transcript_.answer(result.text, result.reasoning);
  }
  tell(result, has_reasoning);
  return came;
}

void Chat::count(const RequestStats& stats) {
  n_in_context_ = stats.prompt_tokens + stats.generated_tokens;
  totals_.prompt_tokens += stats.prompt_tokens;
  totals_.reused_tokens += stats.reused_tokens;
  totals_.generated_tokens += stats.generated_tokens;
  totals_.prefill_seconds += stats.prefill_seconds;
  totals_.decode_seconds += stats.decode_seconds;
}

void Chat::tell(const Generation& result, bool has_reasoning) const {
  if (global_.json) {
    Json json = head();
    json.update({{"text", result.text},
                 {"finish_reason", finish_reason_name(result.finish)},
                 {"prompt_tokens", result.stats.prompt_tokens},
                 {"reused_tokens", result.stats.reused_tokens},
                 {"generated_tokens", result.stats.generated_tokens}});
    if (has_reasoning) json["reasoning"] = result.reasoning;
    print_json(global_.jsonl ? typed("result", json) : json);
  } else {
    print_text(result.finish == FinishReason::kCancelled ? " [stopped]\n" : "\n");
  }
  if (result.finish == FinishReason::kLength) tell_cut(result);
  if (settings_.stats && !global_.json) info("[{}]", describe_rates(result.stats));
}

void Chat::tell_cut(const Generation& result) const {
  if (n_in_context_ < max_context_) {
    info("[cut after {} tokens, as max-tokens says; /continue goes on]",
         result.stats.generated_tokens);
  } else if (settings_.drop_oldest && transcript_.n_turns() > transcript_.n_dropped() + 1) {
    info("[cut: the context of {} tokens is full; /continue goes on without the oldest turns]",
         max_context_);
  } else if (transcript_.n_turns() > 1) {
    info(
        "[cut: the context of {} tokens is full; /set context-full drop-oldest and /continue go on "
        "without the oldest turns, /clear starts anew]",
        max_context_);
  } else {
    info("[cut: the context of {} tokens is full; tq chat --ctx sets a longer one]", max_context_);
  }
}

}  // namespace tq
