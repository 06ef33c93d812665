// ToolCallParser: finds calls of tools in the text of an answer while it comes, wherever the pieces
// are cut. What looks like a call but cannot be read stays text. One per answer; not thread safe.
//   Hermes, Qwen   <tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>
//   Gemma 4        <|tool_call>call:f{x:1,s:<|"|>text<|"|>}<tool_call|>
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tq {

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

// How a family of models writes calls.
struct ToolFormat {
  std::string_view name;
  std::string_view open;
  std::string_view close;
  std::string_view quote;  // around texts; empty: none of its own
  // What stands between the tags; absent when it is no call.
  std::optional<ToolCall> (*parse)(std::string_view body);
};

// By what the chat template writes; null for a family that is not known.
const ToolFormat* find_tool_format(std::string_view chat_template);

// The ids of its tags that are tokens: StreamDetokenizer must show them, special or not.
std::vector<int32_t> tool_tag_ids(const ToolFormat& format, const Tokenizer& tokenizer);

// A stretch of text that is not empty, or a call.
struct ToolPiece {
  std::string text;
  std::optional<ToolCall> call;
};

class ToolCallParser {
 public:
  explicit ToolCallParser(const ToolFormat& format) : format_(format) {}

  // What is certain after more text. White space that touches a call is dropped.
  std::vector<ToolPiece> push(std::string_view text);
  // The text ended: what was held back. A call that was not closed is one if it can be read.
  std::vector<ToolPiece> finish();

 private:
  bool advance(std::vector<ToolPiece>& pieces);
  void add_call(std::string_view body, bool closed, std::vector<ToolPiece>& pieces);

  const ToolFormat& format_;
  std::string held_;         // not given out yet
  bool in_call_ = false;     // after an opening tag
  bool after_call_ = false;  // nothing but white space since
};

}  // namespace tq
