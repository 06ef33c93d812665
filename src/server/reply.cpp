#include "server/reply.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace tq {
namespace {

ApiError api_error_of(const Output& output) {
  switch (output.error_code) {
    case ErrorCode::kInvalidArgument:
      return {400, output.error, "", "invalid_value"};
    case ErrorCode::kOutOfMemory:
      return {503, output.error};
    default:
      return {500, "generation failed: " + output.error};
  }
}

// For the log: why not more of a prompt was found in the cache. Never what it says.
CallNote prefix_note(const PrefixReport& report) {
  switch (report.why) {
    case PrefixReport::Why::kNone:
      break;
    case PrefixReport::Why::kUnknown:
      return {": nothing that is cached begins so", {{"prefix", "unknown"}}};
    case PrefixReport::Why::kEnded:
      return {fmt::format(": what is cached ends after {}", report.n_tokens),
              {{"prefix", "ended"}, {"prefix_tokens", report.n_tokens}}};
    case PrefixReport::Why::kDiffers:
      return {fmt::format(": what is cached differs after {}", report.n_tokens),
              {{"prefix", "differs"}, {"prefix_tokens", report.n_tokens}}};
    case PrefixReport::Why::kForgotten:
      return {fmt::format(": {} were cached, but evicted", report.n_tokens),
              {{"prefix", "evicted"}, {"prefix_tokens", report.n_tokens}}};
  }
  return {};
}

}  // namespace

Reply::Reply(ReplyArgs args) : args_(std::move(args)) {
  choices_.resize(args_.prompts.size() * static_cast<size_t>(args_.n));
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Prompt& prompt = args_.prompts[i / static_cast<size_t>(args_.n)];
    Prompt start;
    start.parser = prompt.parser;
    choices_[i].reader.emplace(start);
    choices_[i].n_prompt = static_cast<int64_t>(prompt.ids.size());  // should it never end
    if (args_.tool_format != nullptr) {
      choices_[i].tools = make_tool_parser(*args_.tool_format, args_.tools);
    }
  }
}

void Reply::begin() {
  args_.post([self = shared_from_this()] { self->start(); });
}

void Reply::start() {
  if (args_.stream) args_.call->start();
  args_.call->on_disconnect([weak = weak_from_this(), post = args_.post] {
    post([weak] {
      if (const auto self = weak.lock()) self->abandon("abort");
    });
  });
  // The first choice of each prompt; the others begin when they can use what it has computed.
  for (size_t i = 0; i < choices_.size(); i += static_cast<size_t>(args_.n)) {
    if (!ended_) submit(i);
  }
}

void Reply::submit(size_t index) {
  Service* service = args_.service();
  if (service == nullptr) return fail({503, "the server is going down"});
  const size_t prompt = index / static_cast<size_t>(args_.n);
  Request request;
  request.prompt = args_.prompts[prompt].ids;
  request.shown_ids = args_.prompts[prompt].shown_ids;
  request.sampling = args_.sampling[prompt];
  request.sampling.seed += index % static_cast<size_t>(args_.n);
  request.n_logprobs = args_.n_logprobs;
  try {
    if (args_.constrain) request.constraint = args_.constrain(args_.prompts[prompt]);
  } catch (const Error& error) {
    return fail({400, error.what(), "", "invalid_grammar"});
  }
  request.priority = args_.priority;
  request.on_output = [self = shared_from_this(), index](const Output& output) {
    self->args_.post([self, index, output] { self->take(index, output); });
  };
  choices_[index].request = service->submit(std::move(request));
}

void Reply::take(size_t index, const Output& output) {
  Choice& choice = choices_[index];
  if (ended_ || choice.done) return;
  if (output.finish == FinishReason::kError) return fail(api_error_of(output));
  if (output.finish == FinishReason::kCancelled && !choice.enough) {
    return fail({503, "the server is going down"});
  }
  if (!choice.begun && index % static_cast<size_t>(args_.n) == 0) {
    for (size_t other = index + 1; other < index + static_cast<size_t>(args_.n); ++other) {
      submit(other);
      if (ended_) return;
    }
  }
  measure(choice, output);
  write(index, read(choice, output), output);
  if (output.finish == FinishReason::kNone) return;
  choice.done = true;
  if (args_.stream) args_.call->write(args_.writer->finish(index, choice.whole));
  if (++n_done_ == choices_.size()) finish();
}

void Reply::measure(Choice& choice, const Output& output) {
  if (output.token) {
    const auto now = std::chrono::steady_clock::now();
    if (choice.n_tokens++ == 0) {
      args_.metrics->first_token(args_.call->seconds());
    } else {
      args_.metrics->next_token(std::chrono::duration<double>(now - choice.last_token).count());
    }
    choice.last_token = now;
  }
  if (output.finish == FinishReason::kNone) return;
  choice.n_prompt = output.stats.prompt_tokens;
  choice.n_cached = output.stats.reused_tokens;
  choice.prefix = output.stats.prefix;
  choice.n_tokens = output.stats.generated_tokens;
  const FinishReason finish = choice.enough ? FinishReason::kStop : output.finish;
  args_.metrics->finished(finish_reason_name(finish), output.stats, args_.call->seconds());
}

void Reply::add_pieces(Choice& choice, std::vector<ToolPiece> pieces,
                       std::vector<ReplyDelta>& deltas) {
  using Kind = ReplyDelta::Kind;
  for (ToolPiece& piece : pieces) {
    if (choice.enough) return;
    if (!piece.call) {
      deltas.push_back({.kind = piece.is_reasoning ? Kind::kReasoning : Kind::kText,
                        .text = std::move(piece.text)});
      continue;
    }
    deltas.push_back({.kind = Kind::kCall,
                      .text = "",
                      .call = {make_call_id(*args_.tool_format), std::move(*piece.call)},
                      .call_index = choice.whole.calls.size()});
    choice.whole.calls.push_back(deltas.back().call);
    choice.enough = !args_.parallel_calls;
  }
}

std::vector<ReplyDelta> Reply::read(Choice& choice, const Output& output) {
  using Kind = ReplyDelta::Kind;
  std::vector<ReplyDelta> deltas;
  const bool was_enough = choice.enough;
  for (ReasoningPiece& piece : choice.reader->read(output)) {
    if (choice.enough) break;
    if (!piece.is_reasoning && choice.tools) {
      add_pieces(choice, choice.tools->push(piece.text), deltas);
    } else {
      deltas.push_back({.kind = piece.is_reasoning ? Kind::kReasoning : Kind::kText,
                        .text = std::move(piece.text)});
    }
  }
  if (output.finish != FinishReason::kNone) {
    if (choice.tools) add_pieces(choice, choice.tools->finish(), deltas);
    const bool stopped = choice.enough || output.finish == FinishReason::kStop;
    const bool calls = stopped && !choice.whole.calls.empty();
    choice.whole.stop_text = output.stop_text;
    choice.whole.finish = calls ? "tool_calls" : std::string(finish_reason_name(output.finish));
  } else if (choice.enough && !was_enough) {
    if (Service* service = args_.service()) service->cancel(choice.request);
  }
  return deltas;
}

void Reply::write(size_t index, std::vector<ReplyDelta> deltas, const Output& output) {
  Choice& choice = choices_[index];
  const bool begins = !std::exchange(choice.begun, true);
  if (begins && !args_.echoes.empty()) {
    const std::string& echo = args_.echoes[index / static_cast<size_t>(args_.n)];
    deltas.insert(deltas.begin(), {.kind = ReplyDelta::Kind::kText, .text = echo});
  }
  std::vector<TokenAlternatives> logprobs;
  if (!output.logprobs.empty()) logprobs.push_back(output.logprobs);
  if (args_.stream) {
    std::string events = begins ? args_.writer->begin(index) : "";  // which is numbered first
    events += args_.writer->deltas(index, deltas, logprobs);
    args_.call->write(std::move(events));
    return;
  }
  std::vector<ReplyDelta>& parts = choice.whole.parts;
  for (ReplyDelta& delta : deltas) {
    const bool joins =
        delta.kind != ReplyDelta::Kind::kCall && !parts.empty() && parts.back().kind == delta.kind;
    if (joins) {
      parts.back().text += delta.text;
    } else {
      parts.push_back(std::move(delta));
    }
  }
  for (TokenAlternatives& token : logprobs) choice.whole.logprobs.push_back(std::move(token));
}

Usage Reply::usage() const {
  Usage usage;
  for (size_t i = 0; i < choices_.size(); ++i) {
    usage.completion_tokens += choices_[i].n_tokens;
    if (i % static_cast<size_t>(args_.n) != 0) continue;  // a prompt counts once
    usage.prompt_tokens += choices_[i].n_prompt;
    usage.cached_tokens += choices_[i].n_cached;
  }
  return usage;
}

CallNote Reply::note() const {
  const Usage sum = usage();
  CallNote prefix;  // of the first prompt that has one
  for (size_t i = 0; i < choices_.size() && prefix.text.empty();
       i += static_cast<size_t>(args_.n)) {
    prefix = prefix_note(choices_[i].prefix);
  }
  CallNote note = {
      fmt::format("prompt {} tokens ({} reused{}), answer {} tokens", sum.prompt_tokens,
                  sum.cached_tokens, prefix.text, sum.completion_tokens),
      {{"prompt_tokens", sum.prompt_tokens},
       {"reused_tokens", sum.cached_tokens},
       {"answer_tokens", sum.completion_tokens}}};
  note.fields.update(prefix.fields);
  return note;
}

void Reply::finish() {
  ended_ = true;
  args_.place.reset();
  if (args_.stream) {
    args_.call->write(args_.writer->end(usage()));
    args_.call->end(note());
    return;
  }
  std::vector<ReplyChoice> whole;
  for (Choice& choice : choices_) whole.push_back(std::move(choice.whole));
  args_.call->send({.status = 200, .body = args_.writer->whole(whole, usage())}, note());
}

void Reply::fail(const ApiError& error) {
  if (ended_) return;
  abandon("error");
  if (args_.stream) {
    args_.call->write(args_.writer->error(error));
    args_.call->end({"failed: " + std::string(error.what())});
  } else {
    args_.call->send(error);
  }
}

void Reply::abandon(const char* why) {
  if (ended_) return;
  ended_ = true;
  args_.place.reset();
  Service* service = args_.service();
  for (const Choice& choice : choices_) {
    if (choice.done) continue;
    args_.metrics->finished(why, {}, 0);
    if (service != nullptr && choice.request != 0) service->cancel(choice.request);
  }
  if (std::string_view(why) == "abort") args_.call->gone(note());
}

}  // namespace tq
