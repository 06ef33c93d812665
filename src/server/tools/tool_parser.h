// ToolParser: finds calls of tools in the text of an answer while it comes, wherever the pieces are
// cut. What looks like a call but cannot be read stays text. Text is valid UTF-8. One per answer;
// not thread safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

// A stretch of text that is not empty, or a call.
struct ToolPiece {
  std::string text = {};
  std::optional<ToolCall> call = {};
  bool is_reasoning = false;  // the text, of formats that mark it themselves
};

class ToolParser {
 public:
  virtual ~ToolParser() = default;
  // What is certain after more text. White space that touches a call is dropped.
  virtual std::vector<ToolPiece> push(std::string_view text) = 0;
  // The text ended: what was held back. A call that was not closed is one if it can be read.
  virtual std::vector<ToolPiece> finish() = 0;
};

}  // namespace tq
