#include "cli/serve_child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "cli/interrupt.h"

namespace tq {
namespace {

constexpr int kGraceMs = 15000;
constexpr size_t kMostLine = 1 << 20;

// The code whose exit code this is.
ErrorCode code_of(int exit) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (exit_code(code) == exit) return code;
  }
  return ErrorCode::kInternal;
}

// In the child, after fork: only what is safe there.
[[noreturn]] void become_server(int out, char* const* words, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  dup2(out, STDOUT_FILENO);
  execv("/proc/self/exe", words);
  _exit(127);
}

}  // namespace

ServeChild::ServeChild(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"tq", "serve", "--json", "--port", "0"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail_errno(errno, "making a pipe");
  out_ = ends[0];
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become_server(ends[1], pointers.data(), parent);
  close(ends[1]);
  if (pid_ < 0) {
    close(out_);
    fail_errno(errno, "starting tq serve");
  }
  const InterruptScope interrupt;
  std::string line;
  while (line.find('\n') == std::string::npos && line.size() < kMostLine) {
    pollfd ready{.fd = out_, .events = POLLIN, .revents = 0};
    poll(&ready, 1, 50);
    if (InterruptScope::interrupted()) {
      kill(pid_, SIGKILL);
      wait(kGraceMs);
      close(out_);
      fail(ErrorCode::kCancelled, "interrupted");
    }
    if (ready.revents == 0) continue;
    char buffer[4096];
    const ssize_t n = read(out_, buffer, sizeof buffer);
    if (n > 0) line.append(buffer, static_cast<size_t>(n));
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    const int status = wait(kGraceMs);
    close(out_);
    fail(WIFEXITED(status) ? code_of(WEXITSTATUS(status)) : ErrorCode::kInternal,
         "tq serve ended before it was ready: it says why above");
  }
  const Json said = parse_json(line.substr(0, line.find('\n')), "what tq serve says");
  url_ = said.value("url", std::string());
}

ServeChild::~ServeChild() {
  kill(pid_, SIGTERM);
  if (wait(kGraceMs) < 0) {
    kill(pid_, SIGKILL);
    wait(kGraceMs);
  }
  close(out_);
}

int ServeChild::wait(int milliseconds) {
  int status = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < until) {
    if (waitpid(pid_, &status, WNOHANG) == pid_) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return -1;
}

}  // namespace tq
