#include "cli/line_editor.h"

#include <histedit.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <utility>

#include "base/error.h"
#include "cli/line_history.h"
#include "cli/terminal.h"

namespace tq {
namespace {

constexpr wchar_t kCtrlC = 3;
constexpr wchar_t kLastCharacter = 0x10FFFF;

// "\r\n" in what is pasted is one newline, so the terminal must not make "\r\r" or "\n\n" of it.
// (libedit asks for the first and cannot be told otherwise.)
void keep_newlines() {
  termios modes;
  if (tcgetattr(STDIN_FILENO, &modes) != 0) return;
  modes.c_iflag &= ~static_cast<tcflag_t>(INLCR | ICRNL);
  tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

}  // namespace

struct LineEditor::Edit {
  explicit Edit(std::string file);
  ~Edit();
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;

  static Edit& of(EditLine* line);
  static const char* give_prompt(EditLine* line);
  static int read_char(EditLine* line, wchar_t* out);
  static unsigned char on_interrupt(EditLine* line, int key);
  static unsigned char on_stop(EditLine* line, int key);
  static unsigned char on_newline(EditLine* line, int key);
  static unsigned char on_paste(EditLine* line, int key);
  void bind();

  TerminalScope terminal;  // the last to go
  std::string prompt;
  LineHistory past;
  EditLine* line = nullptr;
  bool interrupted = false;  // Ctrl-C ended the line
  std::string discarded;     // by it
};

LineEditor::Edit::Edit(std::string file) : past(std::move(file)) {
  // libedit reads characters in the locale's encoding; where there is none we mean UTF-8.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  line = el_init("tq", stdin, stdout, stderr);
  el_set(line, EL_CLIENTDATA, this);
  el_set(line, EL_PROMPT, &Edit::give_prompt);
  el_wset(line, EL_GETCFN, &Edit::read_char);
  el_set(line, EL_EDITOR, "emacs");
  el_set(line, EL_HIST, history, past.handle());
  // While a line is edited Ctrl-C and Ctrl-Z are keys, not signals.
  el_set(line, EL_SETTY, "-d", "-isig", nullptr);
  // Between lines keys are kept, also by Ctrl-C, and not echoed.
  el_set(line, EL_SETTY, "-x", "-icanon", "-echo", "+noflsh", nullptr);
  bind();
  el_set(line, EL_PREP_TERM, 1);
  el_set(line, EL_PREP_TERM, 0);
}

LineEditor::Edit::~Edit() { el_end(line); }

void LineEditor::Edit::bind() {
  const auto add = [&](const wchar_t* name, const wchar_t* help, auto function) {
    // The wide call: the narrow one leaks its copies of the two texts.
    el_wset(line, EL_ADDFN, name, help, function);
  };
  add(L"tq-interrupt", L"Discard the line", &Edit::on_interrupt);
  add(L"tq-stop", L"Stop the process", &Edit::on_stop);
  add(L"tq-newline", L"Insert a newline", &Edit::on_newline);
  add(L"tq-paste", L"Insert what is pasted", &Edit::on_paste);
  el_set(line, EL_BIND, "^C", "tq-interrupt", nullptr);
  el_set(line, EL_BIND, "^Z", "tq-stop", nullptr);
  el_set(line, EL_BIND, "\\e\\r", "tq-newline", nullptr);
  el_set(line, EL_BIND, "\\e\\n", "tq-newline", nullptr);
  el_set(line, EL_BIND, TerminalScope::kPasteBegin.data(), "tq-paste", nullptr);
  // libedit's own command line, which reads beyond the end of an open quote.
  for (const char* keys : {"\\ex", "\\eX"}) {
    el_set(line, EL_BIND, keys, "ed-unassigned", nullptr);
  }
  // How often the next key counts, up to a million times: half a minute of drawing.
  for (const char digit : std::string_view("0123456789")) {
    el_set(line, EL_BIND, (std::string("\\e") + digit).c_str(), "ed-unassigned", nullptr);
  }
}

LineEditor::Edit& LineEditor::Edit::of(EditLine* line) {
  Edit* self = nullptr;
  el_get(line, EL_CLIENTDATA, &self);
  return *self;
}

const char* LineEditor::Edit::give_prompt(EditLine* line) { return of(line).prompt.c_str(); }

// As libedit's own, but a window that changes its size is drawn anew.
int LineEditor::Edit::read_char(EditLine* line, wchar_t* out) {
  std::mbstate_t state{};
  for (;;) {
    if (TerminalScope::take_resized()) {
      el_resize(line);
      el_set(line, EL_REFRESH);
    }
    char byte = 0;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return static_cast<int>(n);
    const size_t used = std::mbrtowc(out, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // more bytes
    if (used == static_cast<size_t>(-1)) {
      state = {};
      *out = L'\uFFFD';
    }
    // The C library reads what UTF-8 once was, up to 6 bytes; libedit ends the process over it.
    if (*out > kLastCharacter) *out = L'\uFFFD';
    return 1;  // (0 is the character 0)
  }
}

unsigned char LineEditor::Edit::on_interrupt(EditLine* line, int) {
  Edit& self = of(line);
  const LineInfo* info = el_line(line);
  self.discarded.assign(info->buffer, info->lastchar);
  self.interrupted = true;
  std::fputs("^C\n", stdout);
  return CC_NEWLINE;
}

unsigned char LineEditor::Edit::on_stop(EditLine*, int) {
  std::fputs("\n", stdout);
  std::fflush(stdout);
  std::raise(SIGTSTP);
  return CC_REDISPLAY;
}

unsigned char LineEditor::Edit::on_newline(EditLine* line, int) {
  return el_insertstr(line, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

// All that comes before the end of the paste is text, newlines too (which terminals send as
// carriage returns); other control characters are left out. Ctrl-C ends a paste that has no end.
unsigned char LineEditor::Edit::on_paste(EditLine* line, int) {
  constexpr std::wstring_view kEnd = L"\x1b[201~";
  std::wstring pasted;
  wchar_t c = 0;
  while (el_wgetc(line, &c) == 1 && c != kCtrlC) {
    pasted += c == L'\r' ? L'\n' : c;
    if (pasted.ends_with(kEnd)) {
      pasted.resize(pasted.size() - kEnd.size());
      break;
    }
  }
  std::erase_if(pasted,
                [](wchar_t x) { return (x < L' ' && x != L'\n' && x != L'\t') || x == 127; });
  while (pasted.ends_with(L'\n')) pasted.pop_back();
  if (pasted.empty()) return CC_REFRESH;
  return el_winsertstr(line, pasted.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

namespace {

// A line of piped input without its end; false where there is none.
bool read_line(std::string& line) {
  constexpr size_t kMaxBytes = size_t{64} << 20;  // as a text file may have
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c == '\n') return true;
    line += static_cast<char>(c);
    if (line.size() > kMaxBytes) {
      fail(ErrorCode::kInvalidArgument, "stdin: a line has more than {} bytes", kMaxBytes);
    }
  }
  return !line.empty();
}

}  // namespace

LineEditor::LineEditor(std::string history_file) {
  if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
    edit_ = std::make_unique<Edit>(std::move(history_file));
  }
}

LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const std::string& prompt, std::string_view notice) {
  Line out;
  if (!edit_) {
    if (read_line(out.text)) out.end = End::kLine;
    return out;
  }
  edit_->prompt = prompt;
  edit_->interrupted = false;
  int count = 0;
  // Before anything is shown that invites a Ctrl-C, which would be a signal until now.
  el_set(edit_->line, EL_PREP_TERM, 1);
  keep_newlines();
  std::fwrite(notice.data(), 1, notice.size(), stdout);
  const char* const typed = el_gets(edit_->line, &count);
  if (edit_->interrupted) return {End::kInterrupted, std::move(edit_->discarded)};
  if (typed == nullptr || count <= 0) {
    std::fputs("\n", stdout);
    return out;
  }
  out.end = End::kLine;
  out.text.assign(typed, static_cast<size_t>(count));
  if (out.text.ends_with('\n')) out.text.pop_back();
  return out;
}

void LineEditor::remember(const std::string& text) {
  if (!edit_ || text.find_first_not_of(" \t\r\n") == std::string::npos) return;
  edit_->past.remember(text);
}

}  // namespace tq
