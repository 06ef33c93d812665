// ChatModel: a model that answers conversations, wherever it runs: the subject of an evaluation, or
// its judge.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"

namespace tq {

struct ChatAsk {
  Json messages;           // [{"role": "user", "content": "..."}, ...]
  int64_t max_tokens = 0;  // of the answer, reasoning included
  double temperature = 0;
  uint64_t seed = 0;
  Json schema = nullptr;  // JSON schema of the answer; null: any text

  // All of it; what is asked is the same where this is.
  Json json() const;
};

// Why there is no answer that can be used.
enum class ChatFault {
  kNone,
  kRefused,  // by the model or its service
  kFailed,   // no connection, an error, out of time
};

struct ChatAnswer {
  std::string text = {};       // without reasoning
  std::string reasoning = {};  // for the reader only
  ChatFault fault = ChatFault::kNone;
  std::string message = {};  // of a fault
  bool cut = false;          // by max_tokens
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  double began = 0;    // seconds since 1970
  double seconds = 0;  // from being asked to the end

  Json json() const;
};
// What json() has made. Throws kCorrupt; where: for messages.
ChatAnswer read_chat_answer(const Json& json, const std::string& where);

class ChatModel {
 public:
  virtual ~ChatModel() = default;
  // What the answers depend on besides the ask: for a cache, and for readers.
  virtual Json identity() = 0;
  // Takes an ask; told() is called once with its answer, from run() or at once, on the caller's
  // thread, and may ask again. What goes wrong with one answer is its fault.
  using Told = std::function<void(ChatAnswer answer)>;
  virtual void ask(ChatAsk ask, Told told) = 0;
  // Answers what was asked and what is asked meanwhile, several at a time; what is asked meanwhile
  // goes first, as it goes on from what has been computed. Throws what goes wrong with all: a model
  // that cannot be loaded, what told() throws, and kCancelled; then what is left is dropped.
  virtual void run() = 0;
};

// What stands between <think> and </think> at the beginning of a text becomes the reasoning: of
// servers that do not split it off.
void split_off_reasoning(ChatAnswer& answer);

// Seconds since 1970.
double unix_now();

}  // namespace tq
