// AnswerCache: answers by what was asked of whom, in a file that grows line by line, so that a run
// that was interrupted goes on where it was. CachedModel: a model that asks only what is not known.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "eval/chat_model.h"

namespace tq {

class AnswerCache {
 public:
  // Reads the file, or begins it; a last line that was not written in full is cut off. An empty
  // path keeps answers in memory only. Throws kCorrupt naming file and line, kIo.
  explicit AnswerCache(std::string path);
  ~AnswerCache();
  AnswerCache(const AnswerCache&) = delete;
  AnswerCache& operator=(const AnswerCache&) = delete;

  // Null where it is not known. Valid until the next add().
  const ChatAnswer* find(const Json& model, const ChatAsk& ask) const;
  // Answers with a fault are not kept: they are asked for again. Throws kIo, kNoSpace.
  void add(const Json& model, const ChatAsk& ask, const ChatAnswer& answer);
  size_t size() const { return answers_.size(); }

 private:
  void read();

  std::string path_;
  int fd_ = -1;
  std::unordered_map<std::string, ChatAnswer> answers_;
};

class CachedModel : public ChatModel {
 public:
  // The cache is borrowed.
  CachedModel(std::unique_ptr<ChatModel> model, AnswerCache& cache)
      : model_(std::move(model)), cache_(cache) {}

  Json identity() override { return model_->identity(); }
  // What is known is told at once.
  void ask(ChatAsk ask, Told told) override;
  void run() override { model_->run(); }

 private:
  std::unique_ptr<ChatModel> model_;
  AnswerCache& cache_;
};

}  // namespace tq
