// The lines that were typed, in memory and in a file that outlives the process.
#pragma once

#include <histedit.h>

#include <optional>
#include <string>
#include <string_view>

namespace tq {

// A line of a history file as libedit writes it (vis(3): `\\`, `\040`, `\^C`, `\M-C`, `\M^C`),
// decoded. Nothing where an escape is none of these, or the text is no UTF-8.
std::optional<std::string> decode_history_line(std::string_view line);

class LineHistory {
 public:
  // Reads the file, which may be missing; lines of it that do not decode are left out. An empty
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
  void load();

  std::string file_;
  History* lines_;
};

}  // namespace tq
