#include "cli/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace tq {

struct LineEditor::Edit {
  Edit(std::string prompt_text, std::string file);
  ~Edit();
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;

  static const char* give_prompt(EditLine* line);
  static unsigned char on_interrupt(EditLine* line, int key);
  void remember(const char* text);

  std::string prompt;
  std::string history_file;
  EditLine* line = nullptr;
  History* past = nullptr;
  bool interrupted = false;     // Ctrl-C ended the line
  bool line_was_empty = false;  // before anything was typed
};

LineEditor::Edit::Edit(std::string prompt_text, std::string file)
    : prompt(std::move(prompt_text)), history_file(std::move(file)) {
  constexpr int kHistoryLines = 1000;
  // libedit reads characters in the locale's encoding; where there is none we mean UTF-8.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  line = el_init("tq", stdin, stdout, stderr);
  past = history_init();
  HistEvent event;
  history(past, &event, H_SETSIZE, kHistoryLines);
  history(past, &event, H_SETUNIQUE, 1);
  if (!history_file.empty()) history(past, &event, H_LOAD, history_file.c_str());
  el_set(line, EL_CLIENTDATA, this);
  el_set(line, EL_PROMPT, &Edit::give_prompt);
  el_set(line, EL_EDITOR, "emacs");
  el_set(line, EL_HIST, history, past);
  // While a line is edited Ctrl-C is a key, not a signal.
  el_set(line, EL_SETTY, "-d", "-isig", nullptr);
  // The wide call: the narrow one leaks its copies of the two texts.
  el_wset(line, EL_ADDFN, L"tq-interrupt", L"Discard the line", &Edit::on_interrupt);
  el_set(line, EL_BIND, "^C", "tq-interrupt", nullptr);
}

LineEditor::Edit::~Edit() {
  history_end(past);
  el_end(line);
}

const char* LineEditor::Edit::give_prompt(EditLine* line) {
  Edit* self = nullptr;
  el_get(line, EL_CLIENTDATA, &self);
  return self->prompt.c_str();
}

unsigned char LineEditor::Edit::on_interrupt(EditLine* line, int) {
  Edit* self = nullptr;
  el_get(line, EL_CLIENTDATA, &self);
  const LineInfo* info = el_line(line);
  self->line_was_empty = info->lastchar == info->buffer;
  self->interrupted = true;
  std::fputs("^C\n", stdout);
  return CC_NEWLINE;
}

void LineEditor::Edit::remember(const char* text) {
  if (text[0] == '\n' || text[0] == '\0') return;
  HistEvent event;
  history(past, &event, H_ENTER, text);
  if (!history_file.empty()) history(past, &event, H_SAVE, history_file.c_str());
}

LineEditor::LineEditor(std::string prompt, std::string history_file) {
  if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
    edit_ = std::make_unique<Edit>(std::move(prompt), std::move(history_file));
  }
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::next_line() {
  std::string text;
  if (!edit_) {
    if (!std::getline(std::cin, text)) return std::nullopt;
    return text;
  }
  for (bool asked = false;; asked = true) {
    edit_->interrupted = false;
    int count = 0;
    // Before anything is shown that invites a Ctrl-C, which would be a signal until now.
    el_set(edit_->line, EL_PREP_TERM, 1);
    if (asked) std::fputs("(Ctrl-C again or Ctrl-D to leave)\n", stdout);
    const char* const typed = el_gets(edit_->line, &count);
    if (edit_->interrupted) {
      if (asked && edit_->line_was_empty) return std::nullopt;
      continue;
    }
    if (typed == nullptr || count <= 0) {
      std::fputs("\n", stdout);
      return std::nullopt;
    }
    edit_->remember(typed);
    text.assign(typed, static_cast<size_t>(count));
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }
}

}  // namespace tq
