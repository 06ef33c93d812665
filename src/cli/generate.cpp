#include "cli/generate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/interrupt.h"

namespace tq {

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 const Json& messages) {
  return tokenizer.encode(chat_template.render(messages),
                          {.add_special = false, .parse_special = true});
}

int default_max_tokens(int64_t context, size_t prompt_tokens) {
  constexpr int64_t kDefault = 512;
  return static_cast<int>(
      std::clamp<int64_t>(context - static_cast<int64_t>(prompt_tokens), 1, kDefault));
}

Generation generate(Engine& engine, Request request,
                    const std::function<void(const Output&)>& on_output) {
  Generation result;
  request.on_output = [&](const Output& output) {
    result.text += output.text;
    if (output.token) result.ids.push_back(*output.token);
    result.finish = output.finish;
    result.stats = output.stats;
    if (output.finish == FinishReason::kError) {
      fail(ErrorCode::kInternal, "generation failed: {}", output.error);
    }
    on_output(output);
  };
  const int64_t id = engine.add(std::move(request));
  const InterruptScope interrupt;
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
