#include "cli/standing_options.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/nearest.h"
#include "cli/arguments.h"

namespace tq {
namespace {

// A value that an option is given, and where it was read: for messages.
struct Setting {
  std::string name;
  std::string value;
  std::string where;
};

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

std::string unquoted(std::string text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// The option of that long name that may be set so: not --help, and not what says where to look.
const CLI::Option* find_option(const CLI::App& command, const std::string& name) {
  if (name == "config" || name == "help" || name == "help-all" || name == "version") return nullptr;
  const CLI::Option* option = command.get_option_no_throw("--" + name);
  return option == nullptr || option->get_lnames().empty() ? nullptr : option;
}

void add_long_names(const CLI::App& command, std::vector<std::string>& names) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (find_option(command, name) != nullptr) names.push_back(name);
    }
  }
  for (const CLI::App* below : command.get_subcommands({})) add_long_names(*below, names);
}

const CLI::App* find_command(const CLI::App& root, const std::string& path) {
  const CLI::App* command = &root;
  for (const std::string& name : CLI::detail::split(path, ' ')) {
    if (command != nullptr) command = command_below(*command, name);
  }
  return command;
}

// What a config file says for a command.
class ConfigFile {
 public:
  ConfigFile(const CLI::App& root, const CLI::App& command, std::string file)
      : root_(root), command_(command), file_(std::move(file)) {
    add_long_names(root, known_);
  }

  // Those of the command's own section outrank the general ones.
  struct Settings {
    std::vector<Setting> own;
    std::vector<Setting> general;
  };
  Settings read() {
    const std::string text = read_text_file(file_);
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      ++line_;
      read_line(trimmed(std::string_view(text).substr(at, end - at)));
      at = end + 1;
    }
    return std::move(settings_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kInvalidArgument, "{}:{}: {}", file_, line_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  void read_line(const std::string& line) {
    if (line.empty() || line[0] == '#') return;
    if (line[0] == '[') return read_section(line);
    const size_t equals = line.find('=');
    if (equals == std::string::npos) refuse("neither \"name = value\" nor [command]: {}", line);
    std::string name = trimmed(line.substr(0, equals));
    std::replace(name.begin(), name.end(), '_', '-');
    const Setting setting{name, unquoted(trimmed(line.substr(equals + 1))),
                          fmt::format("{}:{}", file_, line_)};
    if (section_ != nullptr) {
      if (find_option(*section_, name) == nullptr) {
        refuse("tq {} has no option --{}{}", section_name_, name, did_you_mean(name, known_));
      }
      if (section_ == &command_) settings_.own.push_back(setting);
      return;
    }
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      refuse("no command has an option --{}{}", name, did_you_mean(name, known_));
    }
    if (find_option(command_, name) != nullptr) settings_.general.push_back(setting);
  }

  void read_section(const std::string& line) {
    if (line.back() != ']') refuse("a section ends with ]: {}", line);
    section_name_ = trimmed(line.substr(1, line.size() - 2));
    section_ = find_command(root_, section_name_);
    if (section_ == nullptr) {
      refuse("there is no tq {}{}", section_name_,
             did_you_mean(section_name_, command_names(root_)));
    }
  }

  const CLI::App& root_;
  const CLI::App& command_;
  std::string file_;
  std::vector<std::string> known_;
  int line_ = 0;
  const CLI::App* section_ = nullptr;
  std::string section_name_;
  Settings settings_;
};

std::optional<std::string> config_file(const std::string& named) {
  if (!named.empty()) return named;
  if (const char* file = std::getenv("TQ_CONFIG")) {
    return *file == '\0' ? std::nullopt : std::optional<std::string>(file);
  }
  fs::path folder;
  if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg != nullptr && *xdg != '\0') {
    folder = xdg;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = fs::path(home) / ".config";
  }
  if (folder.empty()) return std::nullopt;
  const fs::path file = folder / "tq" / "config";
  std::error_code none;
  return fs::is_regular_file(file, none) ? std::optional(file.string()) : std::nullopt;
}

std::string variable_name(const std::string& option) {
  std::string name = "TQ_" + option;
  for (char& c : name)
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// The word that gives the option the value; nothing for a flag that is off.
std::optional<std::string> word_for(const CLI::Option& option, const Setting& setting) {
  if (option.get_items_expected_max() > 0) return "--" + setting.name + "=" + setting.value;
  for (const char* on : {"1", "true", "on", "yes"}) {
    if (setting.value == on) return "--" + setting.name;
  }
  for (const char* off : {"0", "false", "off", "no"}) {
    if (setting.value == off) return std::nullopt;
  }
  fail(ErrorCode::kInvalidArgument, "{}: {} is on or off, not \"{}\"", setting.where, setting.name,
       setting.value);
}

}  // namespace

std::vector<std::string> standing_options(const CLI::App& root, const CLI::App& command,
                                          const std::vector<const CLI::Option*>& typed,
                                          const std::string& config) {
  std::vector<const CLI::Option*> given = typed;
  const auto is_given = [&](const CLI::Option* option) {
    return std::find(given.begin(), given.end(), option) != given.end();
  };
  // Given itself, or one that it cannot stand beside.
  const auto is_settled = [&](const CLI::Option& option) {
    const auto excluded = option.get_excludes();
    return is_given(&option) || std::any_of(excluded.begin(), excluded.end(), is_given);
  };
  std::vector<std::string> words;
  // Settings of one rank; several of one name are for options that are repeated.
  const auto take = [&](const std::vector<Setting>& settings) {
    std::vector<const CLI::Option*> taken;
    for (const Setting& setting : settings) {
      const CLI::Option* option = find_option(command, setting.name);
      if (is_settled(*option)) continue;
      if (const auto word = word_for(*option, setting)) words.push_back(*word);
      taken.push_back(option);
    }
    given.insert(given.end(), taken.begin(), taken.end());
  };
  std::vector<Setting> variables;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (find_option(command, name) == nullptr) continue;
      const std::string variable = variable_name(name);
      const char* value = std::getenv(variable.c_str());
      if (value != nullptr && *value != '\0') variables.push_back({name, value, variable});
    }
  }
  take(variables);
  if (const auto file = config_file(config)) {
    const ConfigFile::Settings settings = ConfigFile(root, command, *file).read();
    take(settings.own);
    take(settings.general);
  }
  return words;
}

}  // namespace tq
