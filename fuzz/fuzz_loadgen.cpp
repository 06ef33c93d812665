// What a load generator reads of a server and of a file: event streams, which give the same events
// wherever they are cut, the events themselves, texts of errors, and lines of conversations.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "loadgen/completion.h"
#include "loadgen/dataset.h"
#include "loadgen/sse.h"

namespace {

// The events, and at the end whether the stream was refused.
std::vector<std::string> events_of(std::string_view text, size_t step) {
  tq::SseParser parser(1 << 10);
  std::vector<std::string> events;
  try {
    for (size_t at = 0; at < text.size(); at += step) {
      for (std::string& event : parser.push(text.substr(at, step))) events.push_back(event);
    }
  } catch (const tq::Error&) {
    return {"refused"};
  }
  return events;
}

template <typename Action>
void may_refuse(const Action& action) {
  try {
    action();
  } catch (const tq::Error& error) {
    if (error.code() != tq::ErrorCode::kCorrupt) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> events = events_of(text, size + 1);
  if (events != events_of(text, 1) || events != events_of(text, 7)) std::abort();
  for (const std::string& event : events) {
    for (const auto endpoint : {tq::Endpoint::kChat, tq::Endpoint::kCompletions}) {
      may_refuse([&] { tq::read_stream_event(endpoint, event); });
    }
  }
  tq::error_text(std::string(text));
  may_refuse([&] {
    if (tq::read_conversation(text, "line").turns.empty()) std::abort();
  });
  return 0;
}
