// LocalModel: a ChatModel in this process. The model is loaded when the first answer is wanted, so
// that a run whose answers are all known loads nothing.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "eval/chat_model.h"
#include "session/grammars.h"
#include "session/open.h"
#include "session/prompt.h"
#include "session/service.h"

namespace tq {

struct LocalModelOptions {
  ModelOptions model;
  std::string chat_template;                           // a name or a file; empty: the checkpoint's
  Json variables = Json::object();                     // for the template: enable_thinking, ...
  int64_t parallel = 4;                                // answers under way at most
  std::function<LoadedModel(const ModelNeeds&)> open;  // null: open_model(model, needs)
  std::function<bool()> stops;                         // null: never; true ends run(): kCancelled
};

class LocalModel : public ChatModel {
 public:
  explicit LocalModel(LocalModelOptions options) : options_(std::move(options)) {}

  // The checkpoint's files by content, and the options that change what is computed. Throws what
  // opening the checkpoint throws.
  Json identity() override;
  void ask(ChatAsk ask, Told told) override;
  void run() override;

 private:
  struct Asked {
    ChatAsk ask;
    Told told;
  };
  struct Live;
  struct Running;
  class Outputs;
  Live& live();
  Request make_request(Live& live, const ChatAsk& ask, Prompt& prompt) const;

  LocalModelOptions options_;
  Json identity_;
  std::shared_ptr<Live> live_;
  std::deque<Asked> queue_;
  bool running_ = false;
};

}  // namespace tq
