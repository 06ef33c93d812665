#include "session/follow.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

namespace tq {
namespace {

struct Prefilled {
  int64_t done;
  int64_t total;
};
using Event = std::variant<Prefilled, Output>;

// From the engine's thread to the one that follows. Both own it: the engine's may still be in put()
// when the other has read the end.
class Inbox {
 public:
  void put(Event event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_one();
  }
  // Nothing when nothing has come for a while.
  std::optional<Event> take() {
    std::unique_lock lock(mutex_);
    constexpr std::chrono::milliseconds kWhile{20};
    if (!changed_.wait_for(lock, kWhile, [this] { return !events_.empty(); })) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
};

bool ends(const Event& event) {
  const auto* output = std::get_if<Output>(&event);
  return output != nullptr && output->finish != FinishReason::kNone;
}

void tell(const Follower& follower, const Event& event) {
  if (const auto* output = std::get_if<Output>(&event)) {
    if (follower.on_output) follower.on_output(*output);
  } else if (follower.on_prefill) {
    const auto& prefilled = std::get<Prefilled>(event);
    follower.on_prefill(prefilled.done, prefilled.total);
  }
}

}  // namespace

void follow(Service& service, Request request, const Follower& follower) {
  const auto inbox = std::make_shared<Inbox>();
  request.on_output = [inbox](const Output& output) { inbox->put(output); };
  request.on_prefill = [inbox](int64_t done, int64_t total) { inbox->put(Prefilled{done, total}); };
  const int64_t number = service.submit(std::move(request));
  bool cancelled = false;
  std::exception_ptr thrown;
  for (bool ended = false; !ended;) {
    const std::optional<Event> event = inbox->take();
    ended = event && ends(*event);
    try {
      if (!cancelled && follower.stops && follower.stops()) {
        cancelled = true;
        service.cancel(number);
      }
      if (event && !thrown) tell(follower, *event);
    } catch (...) {
      thrown = std::current_exception();
      if (!std::exchange(cancelled, true)) service.cancel(number);
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace tq
