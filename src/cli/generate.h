// One request of a Service as run and chat show it: Ctrl-C stops it, and a bar shows the progress
// of a long prompt.
#pragma once

#include <functional>

#include "cli/command.h"
#include "session/answer.h"
#include "session/service.h"

namespace tq {

// Runs one request, whose prompt is set from `prompt`, to its end; Ctrl-C cancels it. on_piece sees
// what is generated as it comes. Throws the error with which the request failed.
Generation generate(Service& service, Request request, Prompt prompt, const GlobalOptions& global,
                    const std::function<void(const ReasoningPiece&)>& on_piece);

}  // namespace tq
