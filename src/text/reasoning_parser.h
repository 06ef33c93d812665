// ReasoningParser: splits the text a model generates into reasoning and answer while it comes,
// wherever the pieces are cut. One per answer; not thread safe.
//   Qwen3, GLM   <think>REASONING</think>ANSWER
//   Gemma 4      <|channel>thought\nREASONING<channel|>ANSWER
// The tags are looked for in text, so a detokenizer must not hide them: see reasoning_tag_ids().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace tq {

// How a model marks its reasoning.
struct ReasoningTags {
  std::string_view open;
  std::string_view header;  // between the opening tag and the reasoning
  std::string_view close;
  bool reopens;  // the opening tag counts in the middle of an answer too
};

// By the vocabulary, else by what the chat template (may be empty) mentions. Absent: this model
// marks none.
std::optional<ReasoningTags> find_reasoning_tags(const Tokenizer& tokenizer,
                                                 std::string_view chat_template);

// The ids of the tags that are tokens: StreamDetokenizer must show them, special or not.
std::vector<int32_t> reasoning_tag_ids(const ReasoningTags& tags, const Tokenizer& tokenizer);

// A stretch of output, not empty.
struct ReasoningPiece {
  bool is_reasoning = false;
  std::string text;
};

class ReasoningParser {
 public:
  // `prompt` is the text that the output continues: where it ends with an opening tag, the output
  // begins inside the reasoning.
  ReasoningParser(const ReasoningTags& tags, std::string_view prompt);

  const ReasoningTags& tags() const { return tags_; }
  // Of the prompt: whether the output begins inside the reasoning, and whether an opening tag may
  // begin it (as it may unless there was reasoning already).
  bool begins_inside() const { return after_start_ != State::kAnswer; }
  bool may_open() const { return !begins_inside() && !is_closed_; }

  // Whether what comes next is reasoning or belongs to its tags.
  bool is_inside() const {
    return state_ == State::kStart ? begins_inside() : state_ != State::kAnswer;
  }

  // What is certain after more output: without tags, and without the newlines that touch them.
  std::vector<ReasoningPiece> push(std::string_view text);
  // The output ended: what was held back. Reasoning that was not closed is still reasoning.
  std::vector<ReasoningPiece> finish();

 private:
  enum class State : uint8_t {
    kStart,      // an opening tag may come
    kHeader,     // after one: the channel's name may come
    kReasoning,  // until the closing tag
    kAnswer,
  };

  // One step on from state_ by the text in held_; false when that takes more text.
  bool advance(bool at_end, std::vector<ReasoningPiece>& pieces);
  // Moves the text before `tag` from held_ to pieces, and drops the tag; without one, moves all
  // that is certainly before it and gives false.
  bool move_until(std::string_view tag, bool at_end, std::vector<ReasoningPiece>& pieces);

  ReasoningTags tags_;
  State state_ = State::kStart;
  State after_start_ = State::kAnswer;  // where no opening tag comes
  bool is_closed_ = false;              // the prompt ends with a closing tag
  bool after_tag_ = false;              // newlines that come first belong to the tag
  std::string held_;                    // not given out yet
};

}  // namespace tq
