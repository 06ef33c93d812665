// A ChatModel that answers as a function says, one ask after the other.
#pragma once

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "eval/chat_model.h"

namespace tq::fixtures {

class ScriptedModel : public ChatModel {
 public:
  using Script = std::function<ChatAnswer(const ChatAsk&)>;
  explicit ScriptedModel(Script script, Json name = "scripted")
      : script_(std::move(script)), name_(std::move(name)) {}

  Json identity() override { return name_; }
  void ask(ChatAsk ask, Told told) override {
    queue_.emplace_back(std::move(ask), std::move(told));
  }
  void run() override {
    while (!queue_.empty()) {
      auto [ask, told] = std::move(queue_.front());
      queue_.pop_front();
      asked.push_back(ask);
      told(script_(ask));
    }
  }

  std::vector<ChatAsk> asked;  // in order

 private:
  Script script_;
  Json name_;
  std::deque<std::pair<ChatAsk, Told>> queue_;
};

// The last message of an ask.
inline std::string last_message(const ChatAsk& ask) {
  return ask.messages.back()["content"].get<std::string>();
}

}  // namespace tq::fixtures
