#include "cli/generate.h"

#include <utility>

#include "cli/interrupt.h"
#include "cli/progress.h"

namespace tq {
namespace {

// Tokens to compute from which on a bar is shown before the first of them are done.
constexpr int64_t kLongPrompt = 256;

}  // namespace

Generation generate(Engine& engine, Request request, Prompt prompt, const GlobalOptions& global,
                    const std::function<void(const ReasoningPiece&)>& on_piece) {
  AnswerReader reader(prompt);
  set_prompt(request, prompt);
  Progress progress(global, "prompt", ProgressUnit::kItems, "tokens");
  request.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  request.on_output = [&](const Output& output) {
    // Not for what was given, which is told before anything is computed.
    if (output.token || output.finish != FinishReason::kNone) progress.vanish();
    for (const ReasoningPiece& piece : reader.read(output)) on_piece(piece);
  };
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t n_known = engine.n_reusable(request.prompt);
  const InterruptScope interrupt;  // before anything is shown that invites a Ctrl-C
  const int64_t id = engine.add(std::move(request));
  if (n_prompt - n_known >= kLongPrompt) progress.begin(n_known, n_prompt);
  while (engine.step()) {
    if (InterruptScope::interrupted()) engine.cancel(id);
  }
  return reader.answer();
}

}  // namespace tq
