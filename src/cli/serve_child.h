// A tq serve of our own, as a child process on a free port.
#pragma once

#include <string>
#include <vector>

namespace tq {

class ServeChild {
 public:
  // Starts this program as `tq serve --port 0 ARGUMENTS` and waits until it is ready. Throws an
  // error of the child's kind when it ends before that; what it has to say it says on our stderr.
  explicit ServeChild(const std::vector<std::string>& arguments);
  // Asks it to end, and ends it if it does not.
  ~ServeChild();
  ServeChild(const ServeChild&) = delete;
  ServeChild& operator=(const ServeChild&) = delete;

  const std::string& url() const { return url_; }

 private:
  int wait(int milliseconds);  // its status, or -1 when it has not ended by then

  int pid_ = -1;
  int out_ = -1;  // its stdout
  std::string url_;
};

}  // namespace tq
