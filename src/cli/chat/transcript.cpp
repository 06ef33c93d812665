#include "cli/chat/transcript.h"

#include <algorithm>
#include <utility>

namespace tq {
namespace {

bool has_role(const Json& message, std::string_view role) {
  return message["role"].get_ref<const std::string&>() == role;
}

std::string text_of(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end()) return "";
  return content->is_string() ? content->get<std::string>() : content->dump();
}

}  // namespace

void Transcript::restart(std::string_view system) {
  messages_ = Json::array();
  n_dropped_ = 0;
  first_visible_ = 0;
  if (system.empty()) return;
  messages_.push_back({{"role", "system"}, {"content", std::string(system)}});
  first_visible_ = 1;
}

void Transcript::replace(Json messages) {
  messages_ = std::move(messages);
  n_dropped_ = 0;
  first_visible_ = begin_of_turns();
}

void Transcript::ask(std::string_view text) {
  messages_.push_back({{"role", "user"}, {"content", std::string(text)}});
}

void Transcript::answer(std::string_view text, std::string_view reasoning) {
  take_answer_back();
  Json message = {{"role", "assistant"}, {"content", std::string(text)}};
  if (!reasoning.empty()) message["reasoning_content"] = std::string(reasoning);
  messages_.push_back(std::move(message));
}

std::string Transcript::undo() {
  const size_t begin = last_turn();
  if (begin == messages_.size()) return "";
  std::string question = text_of(messages_[begin]);
  while (messages_.size() > begin) messages_.erase(messages_.size() - 1);
  if (first_visible_ > begin_of_turns() && first_visible_ >= begin) {
    // What was dropped made room for the turn that is gone; now the one before it is the last.
    first_visible_ = last_turn();
    n_dropped_ = std::max<int64_t>(n_turns() - 1, 0);
  }
  first_visible_ = std::min(first_visible_, messages_.size());
  return question;
}

bool Transcript::take_answer_back() {
  if (last_answer() == nullptr) return false;
  messages_.erase(messages_.size() - 1);
  return true;
}

Json Transcript::visible() const {
  Json out = Json::array();
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i < begin_of_turns() || i >= first_visible_) out.push_back(messages_[i]);
  }
  return out;
}

bool Transcript::drop_oldest() {
  const size_t next = next_turn(first_visible_);
  if (next == messages_.size()) return false;
  first_visible_ = next;
  ++n_dropped_;
  return true;
}

std::string Transcript::system() const {
  return begin_of_turns() == 0 ? "" : text_of(messages_[0]);
}

int64_t Transcript::n_turns() const {
  return std::count_if(messages_.begin(), messages_.end(),
                       [](const Json& message) { return has_role(message, "user"); });
}

const Json* Transcript::last_answer() const {
  if (messages_.empty() || !has_role(messages_.back(), "assistant")) return nullptr;
  return &messages_.back();
}

bool Transcript::ends_with_question() const {
  return !messages_.empty() && has_role(messages_.back(), "user");
}

size_t Transcript::begin_of_turns() const {
  size_t i = 0;
  while (i < messages_.size() &&
         (has_role(messages_[i], "system") || has_role(messages_[i], "developer"))) {
    ++i;
  }
  return i;
}

size_t Transcript::last_turn() const {
  for (size_t i = messages_.size(); i > 0; --i) {
    if (has_role(messages_[i - 1], "user")) return i - 1;
  }
  return messages_.size();
}

size_t Transcript::next_turn(size_t begin) const {
  for (size_t i = begin + 1; i < messages_.size(); ++i) {
    if (has_role(messages_[i], "user")) return i;
  }
  return messages_.size();
}

}  // namespace tq
