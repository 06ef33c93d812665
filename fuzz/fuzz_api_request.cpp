// Bodies of requests, and answers that may hold calls of tools. Whatever comes is read or refused
// as an ApiError; calls are found the same wherever an answer is cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_request.h"
#include "server/fields.h"
#include "server/tool_calls.h"

namespace {

using tq::ToolPiece;

void read_body(std::string_view text) {
  for (const auto read : {tq::read_chat_request, tq::read_completion_request}) {
    try {
      read(tq::parse_body(text), {});
    } catch (const tq::ApiError&) {
    }
  }
}

std::string parse(const tq::ToolFormat& format, std::string_view text, size_t step) {
  tq::ToolCallParser parser(format);
  std::string out;
  const auto take = [&](const std::vector<ToolPiece>& pieces) {
    for (const ToolPiece& piece : pieces) {
      if (piece.call.has_value() != piece.text.empty()) std::abort();
      out += piece.call ? "\x01" + piece.call->name + "\x02" + piece.call->arguments + "\x03"
                        : piece.text;
    }
  };
  for (size_t at = 0; at < text.size(); at += step) take(parser.push(text.substr(at, step)));
  take(parser.finish());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_body(text);
  for (const char* source : {"<tool_call>", "<|tool_call>"}) {
    const tq::ToolFormat& format = *tq::find_tool_format(source);
    if (parse(format, text, 1) != parse(format, text, size + 1)) std::abort();
  }
  return 0;
}
