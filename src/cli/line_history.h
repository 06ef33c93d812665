// The lines that were typed, in memory and in a file that outlives the process.
#pragma once

#include <histedit.h>

#include <string>

namespace tq {

class LineHistory {
 public:
  // Reads the file, which may be missing; lines of it that are no UTF-8 are left out. An empty
  // name: no file.
  explicit LineHistory(std::string file);
  ~LineHistory();
  LineHistory(const LineHistory&) = delete;
  LineHistory& operator=(const LineHistory&) = delete;

  // The newest line from now on; an older one of the same text goes.
  void remember(const std::string& line);
  // What el_set(..., EL_HIST, history, ...) takes.
  History* handle() const { return lines_; }

 private:
  void forget_invalid();

  std::string file_;
  History* lines_;
};

}  // namespace tq
