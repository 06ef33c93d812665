// Bodies of requests. Whatever comes is read or refused as an ApiError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/anthropic.h"
#include "server/api_request.h"
#include "server/fields.h"
#include "server/responses.h"

namespace {

void read_body(std::string_view text) {
  for (const auto chat_body : {tq::chat_body_of, tq::chat_body_of_response}) {
    try {
      tq::read_chat_request(chat_body(tq::parse_body(text)), {});
    } catch (const tq::ApiError&) {
    }
  }
  for (const auto read : {tq::read_chat_request, tq::read_completion_request}) {
    try {
      read(tq::parse_body(text), {});
    } catch (const tq::ApiError&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_body(text);
  return 0;
}
