#include "eval/answer_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/file.h"

namespace tq {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;

std::string key_of(const Json& model, const Json& ask) {
  return json_line(Json{{"model", model}, {"ask", ask}});
}

}  // namespace

AnswerCache::AnswerCache(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  if (is_there(path_)) read();
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_errno(errno, path_);
}

AnswerCache::~AnswerCache() {
  if (fd_ >= 0) ::close(fd_);
}

void AnswerCache::read() {
  const std::string text = read_text_file(path_, kMostBytes);
  size_t number = 0;
  size_t whole = 0;
  for (size_t end = 0; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1) {
    const std::string where = fmt::format("{}: line {}", path_, ++number);
    const Json line = parse_json(std::string_view(text).substr(whole, end - whole), where);
    if (!line.is_object() || !line.contains("model") || !line.contains("ask") ||
        !line.contains("answer")) {
      fail(ErrorCode::kCorrupt, "{}: this is no kept answer; name another file", where);
    }
    answers_[key_of(line["model"], line["ask"])] = read_chat_answer(line["answer"], where);
  }
  if (whole < text.size() && ::truncate(path_.c_str(), static_cast<off_t>(whole)) != 0) {
    fail_errno(errno, path_);
  }
}

const ChatAnswer* AnswerCache::find(const Json& model, const ChatAsk& ask) const {
  const auto found = answers_.find(key_of(model, ask.json()));
  return found == answers_.end() ? nullptr : &found->second;
}

void AnswerCache::add(const Json& model, const ChatAsk& ask, const ChatAnswer& answer) {
  if (answer.fault != ChatFault::kNone) return;
  answers_[key_of(model, ask.json())] = answer;
  if (fd_ < 0) return;
  const std::string line =
      json_line(Json{{"model", model}, {"ask", ask.json()}, {"answer", answer.json()}}) + "\n";
  for (size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(errno, path_);
    done += static_cast<size_t>(n);
  }
}

void CachedModel::ask(ChatAsk ask, Told told) {
  if (const ChatAnswer* known = cache_.find(identity(), ask)) return told(ChatAnswer(*known));
  model_->ask(ask, [this, ask, told = std::move(told)](ChatAnswer answer) {
    cache_.add(identity(), ask, answer);
    told(std::move(answer));
  });
}

}  // namespace tq
