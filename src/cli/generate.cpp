#include "cli/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

namespace tq {
namespace {

// Tokens to compute from which on a bar is shown before the first of them are done.
constexpr int64_t kLongPrompt = 256;

}  // namespace

Prompt text_prompt(const Tokenizer& tokenizer, std::string_view text) {
  Prompt prompt;
  prompt.ids = tokenizer.encode(text);
  const auto& ids = prompt.ids;
  if (ids.size() > 1 && ids[0] == ids[1] && tokenizer.bos() == ids[0]) {
    prompt.ids.erase(prompt.ids.begin());
  }
  return prompt;
}

Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const Json& variables) {
  return chat_prompt(tokenizer, chat_template, messages, RenderOptions{.extra = variables});
}

Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const RenderOptions& options) {
  const std::string text = chat_template.render(messages, options);
  Prompt prompt;
  prompt.ids = tokenizer.encode(text, {.add_special = false, .parse_special = true});
  if (const auto tags = find_reasoning_tags(tokenizer, chat_template.source())) {
    prompt.parser.emplace(*tags, text);
    prompt.shown_ids = reasoning_tag_ids(*tags, tokenizer);
  }
  return prompt;
}

int most_tokens(std::optional<int> asked, int64_t context, size_t prompt_tokens) {
  constexpr int64_t kDefault = 512;
  if (asked && *asked != -1) return *asked;
  const int64_t left = context - static_cast<int64_t>(prompt_tokens);
  return static_cast<int>(
      std::clamp<int64_t>(left, 1, asked ? std::numeric_limits<int>::max() : kDefault));
}

Generation generate(Engine& engine, Request request, Prompt prompt, const GlobalOptions& global,
                    const std::function<void(const ReasoningPiece&)>& on_piece) {
  Generation result;
  result.ids = prompt.given;
  bool tells_given = !prompt.given.empty();  // the first output tells what is known already
  const auto deliver = [&](const std::vector<ReasoningPiece>& pieces) {
    for (const ReasoningPiece& piece : pieces) {
      (piece.is_reasoning ? result.reasoning : result.text) += piece.text;
      if (!tells_given) on_piece(piece);
    }
  };
  Progress progress(global, "prompt", ProgressUnit::kItems, "tokens");
  request.prompt = std::move(prompt.ids);
  request.prompt.insert(request.prompt.end(), prompt.given.begin(), prompt.given.end());
  request.n_given = static_cast<int64_t>(prompt.given.size());
  request.shown_ids = std::move(prompt.shown_ids);
  request.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  request.on_output = [&](const Output& output) {
    if (!tells_given) progress.vanish();
    if (output.token) result.ids.push_back(*output.token);
    result.finish = output.finish;
    result.stats = output.stats;
    if (output.finish == FinishReason::kError) {
      fail(output.error_code, "generation failed: {}", output.error);
    }
    if (prompt.parser) {
      deliver(prompt.parser->push(output.text));
      if (output.finish != FinishReason::kNone) deliver(prompt.parser->finish());
    } else if (!output.text.empty()) {
      deliver({{.is_reasoning = false, .text = output.text}});
    }
    tells_given = false;
  };
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t n_known = engine.n_reusable(request.prompt);
  const InterruptScope interrupt;  // before anything is shown that invites a Ctrl-C
  const int64_t id = engine.add(std::move(request));
  if (n_prompt - n_known >= kLongPrompt) progress.begin(n_known, n_prompt);
  while (engine.step()) {
    if (InterruptScope::interrupted()) engine.cancel(id);
  }
  return result;
}

std::string describe_rates(const RequestStats& stats) {
  std::string text = fmt::format("prompt {} tokens", stats.prompt_tokens);
  if (stats.reused_tokens > 0) text += fmt::format(" ({} reused)", stats.reused_tokens);
  text += fmt::format(", {:.1f} tokens/s; answer {} tokens", stats.prefill_rate(),
                      stats.generated_tokens);
  if (stats.decode_rate() > 0) text += fmt::format(", {:.1f} tokens/s", stats.decode_rate());
  return text;
}

}  // namespace tq
