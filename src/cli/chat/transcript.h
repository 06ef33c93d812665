// Transcript: the messages of a chat, in OpenAI's form, and which of them the model is shown.
// Pure data; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"

namespace tq {

class Transcript {
 public:
  // Empty, but for a system message if the text is not.
  explicit Transcript(std::string_view system = "") { restart(system); }
  void restart(std::string_view system);
  // Messages as read_transcript() gives them.
  void replace(Json messages);

  // A turn is a user's message and all that follows it until the next.
  void ask(std::string_view text);
  // The answer to the last message, or what the last answer has become.
  void answer(std::string_view text, std::string_view reasoning);
  // Takes the last turn back; its question, or nothing where there is no turn.
  std::string undo();
  // Takes the answer of the last turn back. False where no turn has one.
  bool take_answer_back();

  // All messages, and those that the model is shown: all but what drop_oldest() dropped.
  const Json& messages() const { return messages_; }
  Json visible() const;
  // Shows the oldest of the visible turns no more. False when only the last is visible.
  bool drop_oldest();
  // Turns that are shown no more.
  int64_t n_dropped() const { return n_dropped_; }

  std::string system() const;  // text of the system message; empty without
  int64_t n_turns() const;
  // Whether the last message waits for an answer.
  bool ends_with_question() const;
  bool operator==(const Transcript&) const = default;
  // The last message if it is an answer, else null.
  const Json* last_answer() const;

 private:
  size_t begin_of_turns() const;         // after the system messages
  size_t last_turn() const;              // where it begins; the end without one
  size_t next_turn(size_t begin) const;  // the first user's message after `begin`; the end without

  Json messages_;
  int64_t n_dropped_ = 0;
  size_t first_visible_ = 0;  // of the turns' messages
};

}  // namespace tq
