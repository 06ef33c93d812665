// What an answer of a hub that is no success means to who asked, and asking again where that helps.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "hub/environment.h"
#include "hub/hub_client.h"
#include "hub/hub_name.h"

namespace tq {

// How long to wait before a request is made again.
class Retries {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Retries(int most) : most_(most) {}

  // Counts a failure. False when it was the last that is allowed. `seconds`: what the server asked
  // for (Retry-After).
  bool again(std::optional<int64_t> seconds);
  void reset() { failures_ = 0; }
  Clock::time_point not_before() const { return not_before_; }

 private:
  int most_;
  int failures_ = 0;
  Clock::time_point not_before_{};
};

// Whether the same request may succeed later: 408, 429 and most of 5xx.
bool is_passing(int status);

// The seconds of Retry-After, now. Throws kIo where they are more than anybody waits for.
std::optional<int64_t> wanted_delay(const HubHead& head);

// Throws what a status other than success means: kNotFound for repositories, revisions and files
// that are not there, kUnsupported for what needs a licence to be accepted, kInvalidArgument
// for a token that the hub refuses, kIo for others; says what to do. `file` is empty for questions
// about the repository.
[[noreturn]] void fail_answer(const HubHead& head, const HubEnvironment& environment,
                              const HubName& name, const std::string& file);

struct TextRequest {
  std::string url;
  int64_t max_bytes;
  std::function<bool()> cancelled;  // may be empty
};
// The whole text that an address of the hub gives, at most `max_bytes`. Waits and asks again where
// that may help. Throws as above, kIo when there is no answer, kCorrupt for too long a text,
// kCancelled.
std::string get_text(HubClient& client, const TextRequest& request,
                     const HubEnvironment& environment, const HubName& name);

}  // namespace tq
