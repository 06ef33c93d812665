// tq help: the help of a command, and what names of other programs are answered with.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/habits.h"
#include "cli/result.h"
#include "cli/table.h"

namespace tq {
namespace {

constexpr const char* kNames = "names";

const char* answer_name(Answer answer) {
  switch (answer) {
    case Answer::kWorks:
      return "works";
    case Answer::kIgnored:
      return "ignored";
    case Answer::kRefused:
      break;
  }
  return "refused";
}

Json names_json() {
  Json options = Json::array();
  for (const OptionHabit& habit : option_habits()) {
    options.push_back({{"programs", habit.programs},
                       {"commands", habit.commands},
                       {"name", habit.theirs},
                       {"value", habit.value},
                       {"answer", answer_name(habit.answer)},
                       {"tq", habit.ours},
                       {"why", habit.why}});
  }
  Json commands = Json::array();
  for (const CommandHabit& habit : command_habits()) {
    commands.push_back({{"programs", habit.programs},
                        {"name", habit.theirs},
                        {"answer", answer_name(habit.answer)},
                        {"tq", habit.ours},
                        {"why", habit.why}});
  }
  Json formats = Json::array();
  for (const FormatHabit& habit : format_habits()) {
    formats.push_back({{"programs", habit.programs},
                       {"name", habit.theirs},
                       {"tq", habit.ours},
                       {"why", habit.why}});
  }
  Json json = result_json("help");
  json.update({{"options", options}, {"commands", commands}, {"formats", formats}});
  return json;
}

std::string answer_text(Answer answer, std::string_view ours, std::string_view why) {
  if (answer == Answer::kWorks) return std::string(ours);
  return fmt::format("{}: {}", answer_name(answer), why);
}

std::string names_text() {
  Table options({{"option", Table::Align::kLeft}, {"answer of tq", Table::Align::kLeft}});
  std::string last;
  for (const OptionHabit& habit : option_habits()) {
    std::string name(habit.theirs);
    if (habit.value == kAnyValue) {
      name += " VALUE";
    } else if (habit.value != kFlag) {
      name += fmt::format(" {}", habit.value);
    }
    const std::string answer = answer_text(habit.answer, habit.ours, habit.why);
    if (name + answer == last) continue;  // the same for another command
    last = name + answer;
    options.add_row({name, answer});
  }
  Table commands({{"command", Table::Align::kLeft}, {"answer of tq", Table::Align::kLeft}});
  for (const CommandHabit& habit : command_habits()) {
    const std::string ours = fmt::format("tq {}", habit.ours);
    commands.add_row({std::string(habit.theirs), answer_text(habit.answer, ours, habit.why)});
  }
  return "What names of other programs do. In long options '_' and '-' are the same.\n\n" +
         commands.text() + "\n" + options.text();
}

// The command that the words name, from the root on.
const CLI::App& find_command(const CLI::App& root, const std::vector<std::string>& words,
                             std::string& path) {
  const CLI::App* app = &root;
  for (const std::string& word : words) {
    const CLI::App* below = command_below(*app, word);
    if (below == nullptr) {
      fail(ErrorCode::kInvalidArgument, "there is no command {} {}{}", path, word,
           did_you_mean(word, command_names(*app)));
    }
    app = below;
    path += " " + word;
  }
  return *app;
}

void run_help(const CLI::App& root, const std::vector<std::string>& words,
              const GlobalOptions& global) {
  if (words.size() == 1 && words.front() == kNames) {
    return global.json ? print_json(names_json()) : print_text(names_text());
  }
  std::string path = root.get_name();
  const CLI::App& command = find_command(root, words, path);
  // help() of the root would describe the command that is running, which is this one.
  print_text(root.get_formatter()->make_help(&command, path, CLI::AppFormatMode::Normal));
}

}  // namespace

void add_help(CLI::App& app, const GlobalOptions& global) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(
      "help", "Print the help of a command, or what the names of other programs do: tq help names");
  command->add_option("COMMAND", *words, "The command; absent: all commands, in short");
  add_examples(*command, {"tq help run", "tq help eval kld", "tq help names"});
  command->callback([words, &app, &global] { run_help(app, *words, global); });
}

}  // namespace tq
