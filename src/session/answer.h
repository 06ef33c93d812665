// AnswerReader: what an engine tells of one request, made into an answer: the reasoning split off,
// ids and times kept. Feed it every Output of the request in turn; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/sequence.h"
#include "session/prompt.h"

namespace tq {

// Of the whole answer, what was given included.
struct Generation {
  std::string reasoning;
  std::string text;
  std::vector<int32_t> ids;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
};

class AnswerReader {
 public:
  // Takes the parser and the given ids of the prompt.
  explicit AnswerReader(Prompt& prompt);

  // What is new to a reader: nothing for what was given. Throws the error of a failed request.
  std::vector<ReasoningPiece> read(const Output& output);
  const Generation& answer() const { return answer_; }

 private:
  std::optional<ReasoningParser> parser_;
  bool tells_given_;  // the first output tells what is known already
  Generation answer_;
};

// The prompt's ids, the given ones and what is shown as a request's.
void set_prompt(Request& request, Prompt& prompt);

// "prompt 31 tokens, 210 tokens/s; answer 64 tokens, 42.1 tokens/s"
std::string describe_rates(const RequestStats& stats);

}  // namespace tq
