#include "cli/line_history.h"

#include <cstdlib>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace tq {

LineHistory::LineHistory(std::string file) : file_(std::move(file)), lines_(history_init()) {
  constexpr int kMostLines = 1000;
  HistEvent event;
  history(lines_, &event, H_SETSIZE, kMostLines);
  history(lines_, &event, H_SETUNIQUE, 1);
  if (file_.empty()) return;
  history(lines_, &event, H_LOAD, file_.c_str());
  forget_invalid();
}

LineHistory::~LineHistory() { history_end(lines_); }

void LineHistory::remember(const std::string& line) {
  HistEvent event;
  history(lines_, &event, H_ENTER, line.c_str());
  if (!file_.empty()) history(lines_, &event, H_SAVE, file_.c_str());
}

// libedit ends the process when a line that is no UTF-8 is shown.
void LineHistory::forget_invalid() {
  std::vector<int> invalid;
  HistEvent event;
  for (int found = history(lines_, &event, H_FIRST); found == 0;
       found = history(lines_, &event, H_NEXT)) {
    if (!is_valid_utf8(event.str)) invalid.push_back(event.num);
  }
  for (const int number : invalid) {
    // Its text is ours then.
    if (history(lines_, &event, H_DEL, number) == 0) std::free(const_cast<char*>(event.str));
  }
}

}  // namespace tq
