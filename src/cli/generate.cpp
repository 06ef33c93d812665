#include "cli/generate.h"

#include <utility>

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "session/follow.h"

namespace tq {
namespace {

// Tokens to compute from which on a bar is shown before the first of them are done.
constexpr int64_t kLongPrompt = 256;

}  // namespace

Generation generate(Service& service, Request request, Prompt prompt, const GlobalOptions& global,
                    const std::function<void(const ReasoningPiece&)>& on_piece) {
  AnswerReader reader(prompt);
  set_prompt(request, prompt);
  Progress progress(global, "prompt", ProgressUnit::kItems, "tokens");
  bool began = false;
  Follower follower;
  follower.on_prefill = [&](int64_t done, int64_t total) {
    if (std::exchange(began, true)) {
      progress.update(done, total);
    } else if (total - done >= kLongPrompt) {
      progress.begin(done, total);
    }
  };
  follower.on_output = [&](const Output& output) {
    // Not for what was given, which is told before anything is computed.
    if (output.token || output.finish != FinishReason::kNone) progress.vanish();
    for (const ReasoningPiece& piece : reader.read(output)) on_piece(piece);
  };
  follower.stops = InterruptScope::interrupted;
  const InterruptScope interrupt;  // before anything is shown that invites a Ctrl-C
  follow(service, std::move(request), follower);
  return reader.answer();
}

}  // namespace tq
