#include "cli/line_history.h"

#include <fstream>
#include <utility>

#include "text/utf8.h"

namespace tq {
namespace {

constexpr int kMostLines = 1000;
constexpr size_t kMostLineBytes = size_t{1} << 20;  // a longer line is no one's
constexpr std::string_view kHeader = "_HiStOrY_V2_";

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// The byte of the escape that begins at text[0] == '\\'; n: how long the escape is, 0: it is none.
char escaped(std::string_view text, size_t& n) {
  const auto at = [&](size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto control = [](char c) { return static_cast<char>(c == '?' ? 0x7f : c & 0x1f); };
  const auto high = [](char c) { return static_cast<char>(c | 0x80); };
  n = 0;
  if (at(1) == '\\') {
    n = 2;
    return '\\';
  }
  if (is_octal(at(1)) && at(1) <= '3' && is_octal(at(2)) && is_octal(at(3))) {
    n = 4;
    return static_cast<char>((at(1) - '0') * 64 + (at(2) - '0') * 8 + (at(3) - '0'));
  }
  if (at(1) == '^' && at(2) != '\0') {
    n = 3;
    return control(at(2));
  }
  if (at(1) == 'M' && (at(2) == '-' || at(2) == '^') && at(3) != '\0') {
    n = 4;
    return high(at(2) == '-' ? at(3) : control(at(3)));
  }
  return '\0';
}

}  // namespace

std::optional<std::string> decode_history_line(std::string_view line) {
  std::string text;
  while (!line.empty()) {
    size_t n = 1;
    const char c = line[0] == '\\' ? escaped(line, n) : line[0];
    if (n == 0 || c == '\0') return std::nullopt;
    text += c;
    line.remove_prefix(n);
  }
  if (!is_valid_utf8(text)) return std::nullopt;
  return text;
}

LineHistory::LineHistory(std::string file) : file_(std::move(file)), lines_(history_init()) {
  HistEvent event;
  history(lines_, &event, H_SETSIZE, kMostLines);
  history(lines_, &event, H_SETUNIQUE, 1);
  if (!file_.empty()) load();
}

LineHistory::~LineHistory() { history_end(lines_); }

void LineHistory::remember(const std::string& line) {
  HistEvent event;
  history(lines_, &event, H_ENTER, line.c_str());
  if (!file_.empty()) history(lines_, &event, H_SAVE, file_.c_str());
}

// Not by libedit's H_LOAD, which reads beyond its memory where an escape is malformed. And it ends
// the process when a line that is no UTF-8 is shown.
void LineHistory::load() {
  std::ifstream in(file_, std::ios::binary);
  std::string line;
  if (!std::getline(in, line) || line != kHeader) return;
  while (std::getline(in, line)) {
    if (line.size() > kMostLineBytes) continue;
    HistEvent event;
    const std::optional<std::string> text = decode_history_line(line);
    if (text && !text->empty()) history(lines_, &event, H_ENTER, text->c_str());
  }
}

}  // namespace tq
