// PreTokenizer: cuts normalised text into the words that BPE treats one by one, as the
// "pre_tokenizer" section of a tokenizer.json says: ByteLevel, Digits, Split, Metaspace or a
// Sequence of them. Immutable and thread safe.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/split_pattern.h"

namespace tq {

class PreTokenizer {
 public:
  struct Piece {
    std::string_view text;
    bool at_start;  // the piece begins where the whole input text begins
  };
  // Reusable working memory of one caller.
  struct Scratch {
    std::vector<Piece> pieces;  // the result; may point into `owned`
    std::vector<Piece> next;
    std::vector<Span> matches;
    std::deque<std::string> owned;
    TextBudget* budget = nullptr;  // of the text that is being encoded; must be set
  };
  // Cuts one piece and appends the parts to scratch.next.
  using Step = std::function<void(const Piece&, Scratch&)>;

  // null makes the whole text one word. Throws kUnsupported for any other kind.
  explicit PreTokenizer(const Json& section);

  // Leaves the words of `piece` (valid UTF-8) in scratch.pieces; they live as long as the text of
  // `piece` and until the next call with the same scratch.
  void split(const Piece& piece, Scratch& scratch) const;

  // The words are to be read as bytes (a ByteLevel step came last), not as characters.
  bool is_byte_level() const { return byte_level_; }

 private:
  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace tq
