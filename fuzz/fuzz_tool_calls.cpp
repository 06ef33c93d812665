// Answers that may hold calls of tools, in every family's format: calls are found the same wherever
// an answer is cut, their arguments are JSON, and nothing is lost of an answer without calls.
// Answers are valid UTF-8, as the detokenizer gives them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/tools/read_text.h"
#include "server/tools/tool_format.h"
#include "text/utf8.h"

namespace {

const tq::Json& tools() {
  static const tq::Json kTools = tq::parse_json(R"([{"type":"function","function":{"name":"f",
    "parameters":{"properties":{"s":{"type":"string"},"n":{"type":["integer","null"]},
    "o":{"anyOf":[{"type":"object"},{"enum":[1,true,"a"]}]}}}}}])",
                                                "tools");
  return kTools;
}

// seed: how the pieces are cut; 0: not at all.
std::string parse(const tq::ToolFormat& format, std::string_view text, uint32_t seed) {
  const auto parser = tq::make_tool_parser(format, tools());
  std::string out;
  const auto take = [&](const std::vector<tq::ToolPiece>& pieces) {
    for (const tq::ToolPiece& piece : pieces) {
      if (piece.call.has_value() != piece.text.empty()) std::abort();
      if (!piece.call) {
        out += piece.text;
        continue;
      }
      if (piece.call->name.empty() || !tq::read_json(piece.call->arguments)) std::abort();
      out += "\x01" + piece.call->name + "\x02" + piece.call->arguments + "\x03";
    }
  };
  while (!text.empty()) {
    size_t n = text.size();
    if (seed != 0) {
      seed = seed * 1664525 + 1013904223;
      n = std::min<size_t>(n, 1 + (seed >> 28));
    }
    take(parser->push(text.substr(0, n)));
    text.remove_prefix(n);
  }
  take(parser->finish());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto& formats = tq::tool_formats();
  const tq::ToolFormat& format = *formats[data[0] % formats.size()];
  const std::string text =
      tq::replace_invalid_utf8({reinterpret_cast<const char*>(data) + 1, size - 1});
  const std::string whole = parse(format, text, 0);
  for (const uint32_t seed : {1U, 2U}) {
    if (parse(format, text, seed) != whole) std::abort();
  }
  const bool has_calls = whole.find('\x01') != std::string::npos;
  if (format.make == nullptr && !has_calls && whole != text) std::abort();
  return 0;
}
