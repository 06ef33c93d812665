// What people type who come from other programs: one row a name. arguments.cpp applies the tables,
// `tq help names` prints them, tests/cli/test_habits.py tries every row.
#pragma once

#include <span>
#include <string_view>

namespace tq {

enum class Answer {
  kWorks,    // as what stands in `ours`
  kIgnored,  // nothing is to be done, and a note says why
  kRefused,  // an error says what to do instead
};

// How an option takes its value.
constexpr std::string_view kFlag = "";         // not at all
constexpr std::string_view kAnyValue = "*";    // any other text is one value, which this row is for
constexpr std::string_view kOnOff = "on|off";  // from the next argument if that is on, off or auto

// An option of another program, or a value that it may have there. Where a command has an option of
// that name itself, only rows for one value count. Rows for one value stand before that for any.
struct OptionHabit {
  std::string_view programs;  // that have it: "llama.cpp vLLM"
  std::string_view commands;  // of tq that it is for: "run|eval ppl"; "" is all
  std::string_view theirs;    // "-ngl"; long names with dashes, and underscores are the same
  std::string_view value;
  Answer answer = Answer::kWorks;
  // "--temp" takes their value; "--device=cuda:{}" has it put in; "--raw" or "--temp=0" drops it;
  // "MODEL" is the argument of that name. Empty unless it works.
  std::string_view ours;
  std::string_view why;  // the note or the error; may be empty where it works
};
std::span<const OptionHabit> option_habits();

// A command of another program.
struct CommandHabit {
  std::string_view programs;
  std::string_view theirs;
  Answer answer = Answer::kWorks;
  std::string_view ours;  // "inspect", "eval ppl"
  std::string_view why;
};
std::span<const CommandHabit> command_habits();

// A value that other programs have for what tq calls a format, and the format that comes nearest.
struct FormatHabit {
  std::string_view programs;
  std::string_view theirs;  // upper and lower case are the same
  std::string_view ours;    // empty: none does
  std::string_view why;
};
std::span<const FormatHabit> format_habits();

// Whether a list "run|eval ppl" has the name; an empty list has all.
bool lists(std::string_view list, std::string_view name);

}  // namespace tq
