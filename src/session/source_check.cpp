#include "session/source_check.h"

#include "base/log.h"
#include "session/load.h"

namespace tq {
namespace {

void check_model(const Checkpoint& checkpoint, SourceCheck& check) {
  try {
    if (checkpoint.problem()) throw *checkpoint.problem();
    check.summary = summarize(checkpoint);
  } catch (const Error& error) {
    check.problem = error.what();
    check.code = error.code();
  }
}

void check_text(const Checkpoint& checkpoint, SourceCheck& check) {
  try {
    for (const std::string& name : checkpoint.text_files()) (void)checkpoint.text_file(name);
    if (read_tokenizer(checkpoint) == nullptr) {
      check.text_note = "has no tokenizer.json: it takes and gives token ids only, no text";
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnsupported) {
      check.text_note = error.what();
      return;
    }
    check.text_problem = error.what();
    check.text_code = error.code();
  }
}

}  // namespace

SourceCheck check_source(const Checkpoint& checkpoint) {
  SourceCheck check;
  check_model(checkpoint, check);
  check_text(checkpoint, check);
  return check;
}

void require_sound_source(const Checkpoint& checkpoint, bool anyway) {
  const SourceCheck check = check_source(checkpoint);
  const auto refuse = [anyway](const std::string& problem, ErrorCode code) {
    if (problem.empty()) return;
    if (!anyway) {
      fail(code,
           "{}\nNothing was written: the result could not be run. --anyway converts what can "
           "be read.",
           problem);
    }
    warn("{}", problem);
  };
  refuse(check.problem, check.code);
  refuse(check.text_problem, check.text_code);
  if (!check.text_note.empty()) warn("{}: {}", checkpoint.path().string(), check.text_note);
}

}  // namespace tq
