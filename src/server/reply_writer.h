// ReplyWriter: how an answer is written for a kind of client: as events while it comes, or as a
// whole. One per answer; not thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/logprobs.h"
#include "server/api_error.h"
#include "server/tools/tool_parser.h"
#include "text/tokenizer.h"

namespace tq {

struct IdentifiedCall {
  std::string id;
  ToolCall call;
};

// What is new of a choice: text or reasoning, or a call.
struct ReplyDelta {
  enum class Kind : uint8_t { kText, kReasoning, kCall };
  Kind kind = Kind::kText;
  std::string text;
  IdentifiedCall call = {};
  size_t call_index = 0;
};

// Of each token the log probabilities that the engine gave: itself, then the most probable ones.
using TokenAlternatives = std::vector<TokenLogprob>;

struct ReplyChoice {
  // All of it in the order it came, where it is not streamed: neighbours of a kind are one.
  std::vector<ReplyDelta> parts;
  std::vector<IdentifiedCall> calls;
  std::vector<TokenAlternatives> logprobs;
  std::string finish;     // "stop", "length", "tool_calls"
  std::string stop_text;  // that ended it; empty: none did

  // The texts of a kind in `parts`.
  std::string text_of(ReplyDelta::Kind kind) const {
    std::string text;
    for (const ReplyDelta& part : parts) {
      if (part.kind == kind) text += part.text;
    }
    return text;
  }
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these
  int64_t completion_tokens = 0;
};

// What all of an answer's objects have in common.
struct ReplyHead {
  std::string id;
  std::string model;
  int64_t created = 0;          // seconds since 1970
  bool has_logprobs = false;    // asked for
  bool includes_usage = false;  // in a stream
  std::shared_ptr<const Tokenizer> tokenizer;
};

class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;

  // Events of a stream: before a choice's first delta,
  virtual std::string begin(size_t choice) = 0;
  // what one token brought: no delta, one, or several,
  virtual std::string deltas(size_t choice, std::span<const ReplyDelta> deltas,
                             std::span<const TokenAlternatives> logprobs) = 0;
  // at the choice's end,
  virtual std::string finish(size_t choice, const ReplyChoice& whole) = 0;
  // and at the end of all.
  virtual std::string end(const Usage& usage) = 0;
  // Or in its place.
  virtual std::string error(const ApiError& error) { return "data: " + error_json(error) + "\n\n"; }

  // The answer of one that is not streamed.
  virtual std::string whole(std::span<const ReplyChoice> choices, const Usage& usage) = 0;
};

// /v1/chat/completions and /v1/completions.
std::unique_ptr<ReplyWriter> make_chat_writer(ReplyHead head);
std::unique_ptr<ReplyWriter> make_completion_writer(ReplyHead head);

}  // namespace tq
