// StopMatcher: finds stop texts in a stream of text pieces, wherever the pieces are cut, and holds
// back what may be the beginning of one. One per sequence; not thread safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tq {

class StopMatcher {
 public:
  // No text is empty.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Adds a piece; returns the text that is now certain not to belong to a stop text. Of several
  // stop texts the one that is complete first wins (of those the longest), so the result does not
  // depend on the cuts. After a match nothing more comes out.
  std::string push(std::string_view piece);
  // The stream ended without a match: what was held back.
  std::string finish();
  bool matched() const { return matched_; }
  // The stop text; empty without a match.
  const std::string& matched_text() const { return matched_text_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool matched_ = false;
  std::string matched_text_;
};

}  // namespace tq
