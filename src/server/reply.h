// Reply: a request for an answer on its way through the engine: its choices are submitted, what
// comes is written for the client as it comes or at the end, and a client that goes cancels them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/call.h"
#include "server/reply_writer.h"
#include "server/tools/tool_format.h"
#include "session/answer.h"
#include "session/prompt.h"
#include "session/service.h"

namespace tq {

// Runs tasks one after the other on the thread that answers.
using Post = std::function<void(std::function<void()>)>;

struct ReplyArgs {
  std::shared_ptr<Call> call;
  std::unique_ptr<ReplyWriter> writer;
  Post post;
  // Gives the engine; null when it is there no more. Called on the thread that answers.
  std::function<Service*()> service;
  Metrics* metrics = nullptr;
  std::shared_ptr<void> place;  // in the queue; given back at the end
  bool stream = false;
  int n = 1;  // choices of each prompt
  std::vector<Prompt> prompts;
  std::vector<std::string> echoes;       // what each prompt's choices begin with; empty: nothing
  std::vector<SamplingParams> sampling;  // of each prompt
  std::optional<int> n_logprobs;
  int64_t priority = 0;                     // Request::priority
  const ToolFormat* tool_format = nullptr;  // null: calls are not looked for
  Json tools;                               // as read_tools() gives them
  bool parallel_calls = true;               // or the first call ends an answer
  // What holds one of a prompt's answers to a grammar; absent: nothing does.
  std::function<std::shared_ptr<Constraint>(const Prompt& prompt)> constrain;
};

class Reply : public std::enable_shared_from_this<Reply> {
 public:
  explicit Reply(ReplyArgs args);

  // From any thread, once.
  void begin();

 private:
  struct Choice {
    std::optional<AnswerReader> reader;
    std::unique_ptr<ToolParser> tools;
    ReplyChoice whole;
    int64_t request = 0;  // of the service; 0: not submitted yet
    bool begun = false;   // something was told
    bool done = false;
    bool enough = false;  // cancelled, as nothing more is wanted of it
    int64_t n_tokens = 0;
    int64_t n_prompt = 0;
    int64_t n_cached = 0;
    PrefixReport prefix;
    std::chrono::steady_clock::time_point last_token;
  };

  void start();
  void submit(size_t choice);
  void take(size_t index, const Output& output);
  std::vector<ReplyDelta> read(Choice& choice, const Output& output);
  void add_pieces(Choice& choice, std::vector<ToolPiece> pieces, std::vector<ReplyDelta>& deltas);
  void measure(Choice& choice, const Output& output);
  void write(size_t index, std::vector<ReplyDelta> deltas, const Output& output);
  void finish();
  void fail(const ApiError& error);
  // Nothing more is wanted: by the client, or because another choice failed.
  void abandon(const char* why);
  Usage usage() const;
  CallNote note() const;

  ReplyArgs args_;
  std::vector<Choice> choices_;
  size_t n_done_ = 0;
  bool ended_ = false;
};

}  // namespace tq
