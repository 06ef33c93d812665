#include "embed/ask.h"

#include <string_view>
#include <utility>

#include "base/json.h"

namespace tq {
namespace {

// What kind of error an answer's {"error": {...}} is.
AskEvent read_error(const std::string& body) {
  const Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("error")) {
    return {AskEvent::Kind::kError, "the model answered " + body};
  }
  const Json error = answer.value("error", Json::object());
  AskEvent event{AskEvent::Kind::kError, error.value("message", "")};
  const std::string type = error.value("type", "");
  if (type == "service_unavailable_error") {
    // Its other reasons are a model that is closed (Llm::close says so itself) or not there yet.
    event.code = ErrorCode::kOutOfMemory;
  } else if (type != "server_error") {
    event.code = ErrorCode::kInvalidArgument;
  }
  return event;
}

}  // namespace

void Ask::finish(AskEvent event) {
  const auto told = std::exchange(told_, nullptr);
  if (told) (*told)(std::move(event));
}

void Ask::cancel() { fail(ErrorCode::kCancelled, "cancelled"); }

void Ask::fail(ErrorCode code, const std::string& why) {
  std::function<void()> gone;
  {
    const std::lock_guard lock(mutex_);
    if (!told_) return;
    cancelled_ = true;
    gone = std::exchange(on_disconnect_, nullptr);
    finish({AskEvent::Kind::kError, why, code});
  }
  if (gone) gone();
}

void Ask::send(HttpResponse response) {
  const std::lock_guard lock(mutex_);
  if (!told_) return;
  if (response.status == 200) {
    finish({AskEvent::Kind::kEnd, std::move(response.body)});
  } else {
    finish(read_error(response.body));
  }
}

void Ask::take(std::string data) {
  if (!told_ || data == "[DONE]") return;
  if (data.starts_with("{\"error\"")) return finish(read_error(data));
  const auto told = told_;
  (*told)({AskEvent::Kind::kChunk, std::move(data)});
}

void Ask::write(std::string events) {
  constexpr std::string_view kData = "data: ";
  constexpr std::string_view kEnd = "\n\n";
  const std::lock_guard lock(mutex_);
  std::string_view rest = events;
  while (rest.starts_with(kData)) {
    const size_t end = rest.find(kEnd);
    if (end == std::string_view::npos) break;
    take(std::string(rest.substr(kData.size(), end - kData.size())));
    rest.remove_prefix(end + kEnd.size());
  }
}

void Ask::end() {
  const std::lock_guard lock(mutex_);
  if (told_) finish({AskEvent::Kind::kEnd, ""});
}

void Ask::on_disconnect(std::function<void()> told) {
  {
    const std::lock_guard lock(mutex_);
    if (!cancelled_) {
      on_disconnect_ = std::move(told);
      return;
    }
  }
  told();
}

}  // namespace tq
