// Ask: one request to a model in this process, on its way. What comes is told on a thread of the
// model's, which must not be kept waiting.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "server/http.h"

namespace tq {

struct AskEvent {
  enum class Kind : uint8_t {
    kChunk,  // of a stream: text is its JSON
    kEnd,    // text is the whole answer's JSON; empty after chunks
    kError,  // text says what, code of which kind; likewise the last
  };
  Kind kind = Kind::kEnd;
  std::string text;
  ErrorCode code = ErrorCode::kInternal;
};
using OnAskEvent = std::function<void(AskEvent event)>;  // must not throw

// Exactly one kEnd or kError is told, and nothing after it. Thread safe.
class Ask : public Responder {
 public:
  explicit Ask(OnAskEvent told) : told_(std::make_shared<const OnAskEvent>(std::move(told))) {}

  // Ends it with kError and kCancelled, told before this returns, unless it has ended. What it
  // computed is freed within a step of the engine.
  void cancel();
  // Likewise for another reason.
  void fail(ErrorCode code, const std::string& why);

  void send(HttpResponse response) override;
  void start(HttpResponse /*head*/) override {}
  void write(std::string events) override;
  void end() override;
  void on_disconnect(std::function<void()> told) override;

 private:
  void take(std::string data);
  void finish(AskEvent event);

  // Held while something is told, so that nothing is told after the end. Recursive, as what is told
  // may cancel, were it by a garbage collector that runs just then.
  std::recursive_mutex mutex_;
  std::shared_ptr<const OnAskEvent> told_;  // null after the end
  bool cancelled_ = false;
  std::function<void()> on_disconnect_;
};

}  // namespace tq
