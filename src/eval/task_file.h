// Questions with known answers, from a file of JSON lines. Forms that are read, and the prompts
// that they become (docs/evaluation.md, "Tasks"): our own, and those in which data sets of
// lm-evaluation-harness come.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

struct TaskItem {
  std::string id;  // of the line, or its number
  // Multiple choice: each choice continues its context, all the same one unless the form puts the
  // choice into the question (WinoGrande). Empty: the answer is generated.
  std::vector<std::string> choices;
  std::vector<std::string> contexts;  // one for each choice, or one
  size_t right = 0;                   // of the choices
  // Generated: what counts as right; the answer's number where it is one (GSM8K).
  std::vector<std::string> answers;
  bool is_number = false;

  const std::string& context(size_t choice) const {
    return contexts[contexts.size() == 1 ? 0 : choice];
  }
  // The question with its right answer, as an example in front of others.
  std::string solved() const;
};

// One line's. Throws kCorrupt for what is of no known form, naming the fields that it has.
TaskItem read_task_item(const Json& json, const std::string& where);

// At most `limit` lines (0: all). Empty lines are passed over. Throws kNotFound, and kCorrupt
// naming file and line.
std::vector<TaskItem> read_task_file(const std::string& path, int64_t limit);

// Puts the first n_shots items, solved, in front of all others, with an empty line between, and
// takes them away. Throws kInvalidArgument when nothing would be left.
std::vector<TaskItem> with_shots(std::vector<TaskItem> items, int64_t n_shots);

// Whether a generated text is one of the answers: without capitals, punctuation, articles (a, an,
// the) and outer white space, as SQuAD and TriviaQA compare; of numbers the last in the text
// counts.
bool is_right(const TaskItem& item, std::string_view text);

}  // namespace tq
