// Chat: a conversation with a loaded model. The KV cache of what was said stays, so a turn only
// runs what is new. Answers go to stdout, what is said about them to stderr. One thread.
//
// What cannot be done (a conversation longer than the context, a file that is none) throws
// tq::Error and leaves the conversation as it was.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chat/chat_settings.h"
#include "cli/chat/transcript.h"
#include "cli/command.h"
#include "cli/generate.h"
#include "cli/model_options.h"
#include "session/sampling.h"

namespace tq {

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  ReasoningOptions reasoning;
  std::string chat_template;  // as TemplateOptions has it
  std::string system;
  std::string context_full = "stop";
  bool no_history = false;
  bool no_wrap = false;
};

class Chat {
 public:
  // Loads the model. Throws what open_model throws, kInvalidArgument for one that has no chat
  // template.
  Chat(const ChatOptions& options, const GlobalOptions& global);

  // One turn.
  void say(const std::string& text);
  // Goes on with an answer that was cut.
  void go_on();
  // Another answer to the last message; where sampling draws, with another seed.
  void retry();
  // Takes the last turn back; its message.
  std::string undo();
  // Forgets the turns, or sets the system message as well.
  void clear() { restart(transcript_.system()); }
  void restart(std::string_view system);
  void save(const std::string& path) const;
  void load(const std::string& path);
  // "top-k 40"; nothing: lists the settings.
  void set(std::string_view text);
  void print_stats() const;

  const Transcript& transcript() const { return transcript_; }
  // "MODEL: llama, 135M parameters, q4_1 (269 MB in memory); context 4096 of 8192 tokens; cpu ...;
  // greedy"
  std::string description() const;
  // Whether Ctrl-C ended the last answer.
  bool interrupted() const { return interrupted_; }

 private:
  // Answers the last message, going on after `given`. False when it was stopped before anything
  // came: then nothing has changed.
  bool answer(std::vector<int32_t> given);
  // The conversation's prompt; if settings say so, of as many of the last turns as leave room.
  Prompt make_prompt(std::vector<int32_t> given);
  Request make_request(const Prompt& prompt);
  // What every JSON object of the chat begins with.
  Json head() const;
  void count(const RequestStats& stats);
  void tell(const Generation& result, bool has_reasoning) const;
  void tell_cut(const Generation& result) const;
  // Ids of the answer that is to be continued.
  std::vector<int32_t> last_ids() const;

  const GlobalOptions& global_;
  const ModelOptions model_options_;
  std::string model_name_;
  std::string format_;  // that weights are compressed to at load; empty: as stored
  LoadedModel loaded_;
  std::unique_ptr<ChatTemplate> template_;
  ChatSettings settings_;
  Json variables_;  // for the template
  int64_t max_context_ = 0;
  std::optional<Service> service_;
  Transcript transcript_;

  struct LastAnswer {
    std::vector<int32_t> ids;  // empty: not made here
    FinishReason finish = FinishReason::kNone;
  };
  LastAnswer last_;
  uint64_t n_retries_ = 0;
  bool interrupted_ = false;
  // Of the whole chat.
  RequestStats totals_;
  int64_t n_in_context_ = 0;
};

}  // namespace tq
