// follow: one request of a Service as a caller sees it that waits for its end, on its own thread.
#pragma once

#include <cstdint>
#include <functional>

#include "session/service.h"

namespace tq {

// Each may be absent, and is called on the thread that follows, in the order of what happened.
struct Follower {
  std::function<void(const Output&)> on_output;                 // as Request has it
  std::function<void(int64_t done, int64_t total)> on_prefill;  // likewise
  // Whether the request is to be cancelled: asked before anything is told, and fifty times a second
  // while there is nothing to tell. The output that ends the request comes all the same.
  std::function<bool()> stops;
};

// Submits a request, whose own callbacks are replaced, and returns when it has ended. What the
// follower throws cancels the request, and is thrown again when that has ended. Not to be called
// from a callback of the service.
void follow(Service& service, Request request, const Follower& follower);

}  // namespace tq
