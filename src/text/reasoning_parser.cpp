#include "text/reasoning_parser.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/overlap.h"

namespace tq {
namespace {

// In an answer <think> may be prose; <|channel> is a control token.
constexpr ReasoningTags kThink = {"<think>", "", "</think>", false};
constexpr ReasoningTags kChannel = {"<|channel>", "thought", "<channel|>", true};

constexpr std::string_view kNewlines = "\r\n";

std::string_view trim_end(std::string_view text, std::string_view characters) {
  return text.substr(0, text.find_last_not_of(characters) + 1);
}

std::string_view trim_start(std::string_view text, std::string_view characters) {
  return text.substr(std::min(text.find_first_not_of(characters), text.size()));
}

void append(std::string_view text, bool is_reasoning, std::vector<ReasoningPiece>& pieces) {
  if (text.empty()) return;
  if (pieces.empty() || pieces.back().is_reasoning != is_reasoning) {
    pieces.push_back({is_reasoning, {}});
  }
  pieces.back().text += text;
}

}  // namespace

std::optional<ReasoningTags> find_reasoning_tags(const Tokenizer& tokenizer,
                                                 std::string_view chat_template) {
  for (const ReasoningTags& tags : {kChannel, kThink}) {
    if (tokenizer.token_id(tags.open) && tokenizer.token_id(tags.close)) return tags;
  }
  if (chat_template.find(kThink.close) != std::string_view::npos) return kThink;
  return std::nullopt;
}

std::vector<int32_t> reasoning_tag_ids(const ReasoningTags& tags, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string_view tag : {tags.open, tags.close}) {
    if (const auto id = tokenizer.token_id(tag)) ids.push_back(*id);
  }
  return ids;
}

ReasoningParser::ReasoningParser(const ReasoningTags& tags, std::string_view prompt) : tags_(tags) {
  prompt = trim_end(prompt, kWhiteSpace);
  if (prompt.ends_with(tags_.open)) {
    after_start_ = State::kHeader;
  } else if (prompt.ends_with(std::string(tags_.open).append(tags_.header))) {
    after_start_ = State::kReasoning;
  }
  is_closed_ = prompt.ends_with(tags_.close);
  after_tag_ = after_start_ != State::kAnswer;
}

std::vector<ReasoningPiece> ReasoningParser::push(std::string_view text) {
  held_ += text;
  std::vector<ReasoningPiece> pieces;
  while (advance(false, pieces)) {
  }
  return pieces;
}

std::vector<ReasoningPiece> ReasoningParser::finish() {
  std::vector<ReasoningPiece> pieces;
  while (advance(true, pieces)) {
  }
  return pieces;
}

bool ReasoningParser::advance(bool at_end, std::vector<ReasoningPiece>& pieces) {
  switch (state_) {
    case State::kStart: {
      const std::string_view rest = trim_start(held_, kWhiteSpace);
      if (rest.starts_with(tags_.open)) {
        held_.erase(0, held_.size() - rest.size() + tags_.open.size());
        state_ = State::kHeader;
        return true;
      }
      if (!at_end && tags_.open.starts_with(rest)) return false;
      state_ = after_start_;
      return true;
    }
    case State::kHeader:
      if (held_.starts_with(tags_.header)) {
        held_.erase(0, tags_.header.size());
      } else if (!at_end && tags_.header.starts_with(held_)) {
        return false;
      }
      state_ = State::kReasoning;
      after_tag_ = true;
      return true;
    case State::kReasoning:
      if (!move_until(tags_.close, at_end, pieces)) return false;
      state_ = State::kAnswer;
      after_tag_ = true;
      return true;
    case State::kAnswer:
      if (!move_until(tags_.reopens ? tags_.open : "", at_end, pieces)) return false;
      state_ = State::kHeader;
      return true;
  }
  return false;
}

bool ReasoningParser::move_until(std::string_view tag, bool at_end,
                                 std::vector<ReasoningPiece>& pieces) {
  if (after_tag_) held_.erase(0, held_.size() - trim_start(held_, kNewlines).size());
  if (held_.empty()) return false;
  after_tag_ = false;
  const bool is_reasoning = state_ == State::kReasoning;
  const size_t at = tag.empty() ? std::string::npos : held_.find(tag);
  const bool found = at != std::string::npos;
  std::string_view certain = held_;
  if (found) {
    certain = certain.substr(0, at);
  } else if (!at_end && !tag.empty()) {
    certain.remove_suffix(overlap_of(certain, tag));
  }
  if (is_reasoning) certain = trim_end(certain, kNewlines);  // the closing tag may follow
  append(certain, is_reasoning, pieces);
  held_.erase(0, found ? at + tag.size() : certain.size());
  if (at_end && !found) held_.clear();
  return found;
}

}  // namespace tq
