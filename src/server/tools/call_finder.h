// CallFinder: the parser of formats that have openings and a function that reads a call from there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/tools/tool_format.h"

namespace tq {

class CallFinder : public ToolParser {
 public:
  CallFinder(const ToolFormat& format, const Json& tools);

  std::vector<ToolPiece> push(std::string_view text) override;
  std::vector<ToolPiece> finish() override;

 private:
  // One step on by what is held; false when that takes more text. Takes time by what is new.
  bool advance(bool at_end, std::vector<ToolPiece>& pieces);
  // The same where an opening was found.
  bool read_call(bool at_end, std::vector<ToolPiece>& pieces);
  // Where the first opening stands in what is held, behind the blanks; npos: nowhere.
  size_t find_opening() const;
  // How much at the end of what is held may be the beginning of an opening.
  size_t n_overlap() const;
  // What may stand before a call without being text.
  std::string_view blanks() const;
  void drop(size_t n_bytes);  // from the front of what is held
  void give_text(size_t n_bytes, std::vector<ToolPiece>& pieces);

  const ToolFormat& format_;
  const Json& tools_;
  std::string between_;                   // white space and the format's separators
  std::string held_;                      // not given out yet
  size_t n_blank_ = 0;                    // of it at the front that may touch a call
  std::optional<CallProgress> progress_;  // of the opening behind those; absent: none was found
  bool nothing_yet_ = true;               // no text, but maybe calls
  bool after_call_ = false;               // no text since one
  bool may_end_ = false;                  // a letter came with which a call may end
  size_t n_failed_ = 0;                   // openings that were none
};

}  // namespace tq
