#include "cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/nearest.h"
#include "cli/habits.h"
#include "cli/standing_options.h"

namespace tq {
namespace {

// "--top_k" as "--top-k". What follows a '=' stays.
std::string with_dashes(std::string name) {
  if (name.starts_with("--")) std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool is_general(std::string_view value) {
  return value == kFlag || value == kAnyValue || value == kOnOff;
}

class Translator {
 public:
  Translator(const CLI::App& root, const std::vector<std::string>& typed)
      : root_(root), app_(&root), typed_(typed), path_(root.get_name()) {}

  Arguments run() {
    while (at_ < typed_.size()) {
      const std::string& word = typed_[at_++];
      if (word == "--") {
        plain_.insert(plain_.end(), typed_.begin() + static_cast<std::ptrdiff_t>(at_),
                      typed_.end());
        break;
      }
      if (word.size() > 1 && word[0] == '-') {
        option(word);
      } else {
        plain(word);
      }
    }
    add_standing_options();
    place_arguments();
    return std::move(out_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    throw UsageError(path_, fmt::format(format, std::forward<Args>(args)...));
  }

  // ---- Words that are no options ----

  // A command with commands below it may take arguments of its own; the first word decides.
  void plain(const std::string& word) {
    const bool is_command = plain_.empty() && enter(word);
    if (is_command) return;
    if (needs_command()) return command_habit(word);
    plain_.push_back(word);
  }

  // Whether it does nothing by itself.
  bool needs_command() const { return app_->get_require_subcommand_min() > 0; }

  // Goes into a command of this name.
  bool enter(const std::string& word) {
    const CLI::App* below = command_below(*app_, word);
    if (below == nullptr) return false;
    for (const std::string& name : typed_names_) {  // those that all commands have stand anywhere
      if (root_.get_option_no_throw(name) != nullptr) continue;
      refuse("{} stands before {}: it is an option of {}", name, word, path_);
    }
    app_ = below;
    path_ += " " + word;
    out_.words.push_back(word);
    return true;
  }

  void command_habit(const std::string& word) {
    if (app_ == &root_) {
      for (const CommandHabit& habit : command_habits()) {
        if (habit.theirs != word) continue;
        if (habit.answer == Answer::kRefused) refuse("there is no tq {}: {}", word, habit.why);
        for (const std::string& part : CLI::detail::split(std::string(habit.ours), ' ')) {
          enter(part);
        }
        return;
      }
      if (word.find('/') != std::string::npos || word.ends_with(".gguf") ||
          word.starts_with("synth:")) {
        refuse("a command comes first: tq run {} \"...\"", word);
      }
    }
    refuse("unknown command {}{}", word, did_you_mean(word, command_names(*app_)));
  }

  // ---- Options ----

  // The command's own option of this name; null if it has none.
  const CLI::Option* own(const std::string& name) const {
    const CLI::Option* option = app_->get_option_no_throw(name);
    return option != nullptr && name[0] == '-' ? option : nullptr;
  }

  static std::string main_name(const CLI::Option& option) {
    if (option.get_lnames().empty()) return "-" + option.get_snames().front();
    return "--" + option.get_lnames().front();
  }

  std::string command() const {
    return app_ == &root_ ? "" : path_.substr(root_.get_name().size() + 1);
  }

  // The row for an option with this value, if it has one. specific: only rows for one value.
  const OptionHabit* find_habit(const std::string& name, const std::optional<std::string>& value,
                                bool specific) const {
    if (app_ == &root_) return nullptr;
    for (const OptionHabit& habit : option_habits()) {
      if (habit.theirs != name || !lists(habit.commands, command())) continue;
      if (is_general(habit.value) ? !specific : value == habit.value) return &habit;
    }
    return nullptr;
  }

  void option(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = with_dashes(word.substr(0, equals));
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    const bool attached = value.has_value();
    if (!value && at_ < typed_.size()) value = typed_[at_];

    const CLI::Option* mine = own(name);
    const OptionHabit* habit = find_habit(mine ? main_name(*mine) : name, value, mine != nullptr);
    if (habit != nullptr) {
      follow(*habit, name, value, attached);
    } else if (mine != nullptr) {
      out_.words.push_back(name + (attached ? "=" + *value : ""));
      typed_names_.push_back(name);
      if (name == "--config") config_ = value.value_or("");
      if (!attached && takes_value(*mine)) take_value(name);
      help_ = help_ || name == "--help" || name == "-h";
    } else if (word.starts_with("--") || !letters(word)) {
      refuse_unknown(word, name);
    }
  }

  void take_value(const std::string& name) {
    if (at_ == typed_.size()) refuse("{} needs a value", name);
    out_.words.push_back(typed_[at_++]);
  }

  // -n5, -qn 5: letters of the command's own options, the last with a value; or -t8, of another
  // program's.
  bool letters(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const CLI::Option* mine = own(std::string("-") + word[i]);
      if (mine == nullptr) return i == 1 && letter_with_number(word);
      typed_names_.push_back(std::string("-") + word[i]);
      if (!takes_value(*mine)) continue;
      out_.words.push_back(word);
      if (i + 1 == word.size()) take_value(word);
      return true;
    }
    out_.words.push_back(word);
    return true;
  }

  bool letter_with_number(const std::string& word) {
    if (word.size() < 3 || word[2] < '0' || word[2] > '9') return false;
    const std::string name = word.substr(0, 2);
    const OptionHabit* habit = find_habit(name, word.substr(2), false);
    if (habit == nullptr || habit->value != kAnyValue) return false;
    follow(*habit, name, word.substr(2), true);
    return true;
  }

  // attached: the value stood in the option's own word.
  void follow(const OptionHabit& habit, const std::string& name, std::optional<std::string> value,
              bool attached) {
    const bool is_switch_word = value == "on" || value == "off" || value == "auto";
    const bool has_value = habit.value != kFlag && (habit.value != kOnOff || is_switch_word);
    if (has_value && !value) refuse("{} needs a value", name);
    if (has_value && !attached) ++at_;
    const std::string shown = has_value ? name + " " + *value : name;
    if (habit.answer == Answer::kRefused) refuse("{}: {}", shown, habit.why);
    if (!habit.why.empty()) note(shown, habit);
    if (habit.answer == Answer::kIgnored) return;
    std::string ours(habit.ours);
    if (!ours.starts_with('-')) {
      if (!placed_.emplace(ours, *value).second) refuse("{} is given twice", ours);
      return;
    }
    if (const size_t hole = ours.find("{}"); hole != std::string::npos)
      ours.replace(hole, 2, *value);
    if (habit.value == kAnyValue && habit.ours.find('=') == std::string_view::npos) {
      // Their value may be another one of ours.
      const OptionHabit* again = find_habit(ours, value, true);
      if (again != nullptr) return follow(*again, name, value, true);
      ours += "=" + *value;
    }
    // Two of their options may be one of ours: -ctk f16 -ctv f16.
    const auto [made, is_new] = made_.emplace(ours, name);
    if (is_new || made->second == name) out_.words.push_back(ours);
    typed_names_.push_back(ours.substr(0, ours.find('=')));
  }

  void note(const std::string& shown, const OptionHabit& habit) {
    std::string text = habit.answer == Answer::kIgnored
                           ? fmt::format("{} is ignored: {}", shown, habit.why)
                           : fmt::format("{} is {}: {}", shown, habit.ours, habit.why);
    if (std::find(out_.notes.begin(), out_.notes.end(), text) == out_.notes.end()) {
      out_.notes.push_back(std::move(text));
    }
  }

  // The long names of a command's options, and those of other programs that work there.
  std::vector<std::string> known_options() const {
    std::vector<std::string> names;
    for (const CLI::Option* option : app_->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    for (const OptionHabit& habit : option_habits()) {
      if (app_ != &root_ && habit.answer == Answer::kWorks && lists(habit.commands, command())) {
        names.emplace_back(habit.theirs);
      }
    }
    return names;
  }

  // Commands that have the option.
  static void find_commands(const CLI::App& app, const std::string& path, const std::string& name,
                            std::vector<std::string>& found) {
    for (const CLI::App* below : app.get_subcommands({})) {
      const std::string below_path = path + " " + below->get_name();
      if (below->get_option_no_throw(name) != nullptr) found.push_back(below_path);
      find_commands(*below, below_path, name, found);
    }
  }

  [[noreturn]] void refuse_unknown(const std::string& word, const std::string& name) const {
    const std::vector<std::string> known = known_options();
    if (!name.starts_with("--")) {
      if (name[1] >= '0' && name[1] <= '9') {
        refuse("unknown option {}; a text that begins with a dash goes after --", word);
      }
      // -temp for --temp; a single letter is like any other.
      if (name.size() == 2) refuse("unknown option {}", word);
      refuse("unknown option {}{}", word, did_you_mean("-" + name, known));
    }
    const std::string meant = did_you_mean(name, known);
    std::vector<std::string> others;
    find_commands(root_, root_.get_name(), name, others);
    if (!others.empty() && app_ != &root_) {
      refuse("unknown option {}; {} has it{}", word, others.front(), meant);
    }
    if (app_ == &root_) refuse("unknown option {}; a command comes first{}", word, meant);
    refuse("unknown option {}{}", word, meant);
  }

  // ---- Options that are not typed ----

  void add_standing_options() {
    if (app_ == &root_ || needs_command() || help_) return;
    std::vector<const CLI::Option*> typed;
    for (const std::string& name : typed_names_) typed.push_back(own(name));
    for (std::string& word : standing_options(root_, *app_, typed, config_)) {
      out_.words.push_back(std::move(word));
    }
  }

  // ---- Arguments in their places ----

  void place_arguments() {
    std::vector<std::string> names;
    bool any_number = false;
    for (const CLI::Option* option : app_->get_options()) {
      if (!option->get_positional()) continue;
      names.push_back(option->get_name(/*positional=*/true));
      any_number = any_number || option->get_items_expected_max() > 1;
    }
    std::vector<std::optional<std::string>> places(names.size());
    for (const auto& [name, value] : placed_) {
      const auto at = std::find(names.begin(), names.end(), name);
      places[static_cast<size_t>(at - names.begin())] = value;
    }
    size_t next = 0;
    for (const std::string& word : plain_) {
      while (next < places.size() && places[next]) ++next;
      if (next == places.size() && !any_number) refuse_extra(word);
      if (next < places.size()) {
        places[next] = word;
      } else {
        places.emplace_back(word);
      }
    }
    while (!places.empty() && !places.back()) places.pop_back();
    for (size_t i = 0; i < places.size() && !help_; ++i) {
      if (!places[i]) refuse("{} is required", names[i]);
    }
    if (places.empty()) return;
    out_.words.emplace_back("--");
    for (const auto& place : places) {
      if (place) out_.words.push_back(*place);
    }
  }

  [[noreturn]] void refuse_extra(const std::string& word) const {
    if (own("--file") != nullptr && command() != "chat") {
      refuse("unexpected argument {}; a text of several words stands in quotes", word);
    }
    if (own("--format") != nullptr) {
      refuse("unexpected argument {}; a format is given by --format", word);
    }
    refuse("unexpected argument {}", word);
  }

  const CLI::App& root_;
  const CLI::App* app_;  // the deepest command so far
  const std::vector<std::string>& typed_;
  size_t at_ = 0;
  std::string path_;  // "tq eval ppl"
  bool help_ = false;
  Arguments out_;
  std::vector<std::string> plain_;             // in the order typed
  std::map<std::string, std::string> placed_;  // by the argument's name
  std::map<std::string, std::string> made_;    // options made of other programs', and of which
  std::vector<std::string> typed_names_;       // of options, as tq has them
  std::string config_;                         // --config
};

}  // namespace

Arguments translate_arguments(const CLI::App& root, const std::vector<std::string>& typed) {
  return Translator(root, typed).run();
}

const CLI::App* command_below(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

}  // namespace tq
