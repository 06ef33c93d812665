#include "cli/man_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace tq {
namespace {

// Text that roff shows as it is written.
std::string plain(std::string_view text) {
  static const std::map<char, const char*> kSpecial = {
      {'\\', "\\e"}, {'-', "\\-"}, {'\'', "\\(aq"}, {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}};
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && c == '.') out += "\\&";  // a request otherwise
    const auto special = kSpecial.find(c);
    out += special == kSpecial.end() ? std::string(1, c) : special->second;
    line_begins = c == '\n';
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + plain(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + plain(text) + "\\fR"; }

// A description as sentences: with its value's choices and default.
std::string sentences(const OptionInfo& option) {
  std::string out = plain(option.description);
  if (!out.empty() && out.back() != '.') out += '.';
  if (!option.choices.empty()) {
    out += fmt::format(" One of {}.", plain(fmt::format("{}", fmt::join(option.choices, ", "))));
  }
  if (!option.default_value.empty() && option.default_value != "\"\"" &&
      option.default_value != "[]") {
    out += fmt::format(" Default: {}.", plain(option.default_value));
  }
  return out;
}

std::string entry(const std::string& head, const std::string& text) {
  return fmt::format(".TP\n{}\n{}\n", head, text);
}

std::string option_entry(const OptionInfo& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back(bold(name));
  std::string head = fmt::format("{}", fmt::join(names, ", "));
  if (option.takes_value) head += " " + italic(option.value);
  return entry(head, sentences(option));
}

// Options under the headings of the help, in the order in which these first come.
std::string option_sections(const CommandInfo& command) {
  std::vector<std::string> groups;
  for (const OptionInfo& option : command.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  std::string out = groups.empty() ? "" : ".SH OPTIONS\n";
  for (const std::string& group : groups) {
    if (groups.size() > 1) out += fmt::format(".SS \"{}\"\n", plain(group));
    for (const OptionInfo& option : command.options) {
      if (option.group == group) out += option_entry(option);
    }
  }
  return out;
}

std::string synopsis(const CommandInfo& command) {
  std::string out = fmt::format(".SH SYNOPSIS\n{}", bold(command.path));
  if (!command.options.empty()) out += fmt::format(" [{}]", italic("options"));
  for (const OptionInfo& argument : command.arguments) {
    const std::string name = italic(argument.names.front());
    out += argument.required ? " " + name : fmt::format(" [{}]", name);
  }
  if (!command.children.empty() && command.arguments.empty()) out += " " + italic("command");
  return out + "\n";
}

}  // namespace

std::string man_page_name(const CommandInfo& command) {
  std::string name = command.path;
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string man_page(const CommandInfo& command, const CommandInfo& root) {
  std::string title = man_page_name(command);
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  std::string out = fmt::format(
      ".TH \"{}\" 1 \"\" \"turboquant.cpp {}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n", title,
      TQ_VERSION, plain(man_page_name(command)), plain(command.description));
  out += synopsis(command);
  if (!command.arguments.empty()) out += ".SH ARGUMENTS\n";
  for (const OptionInfo& argument : command.arguments) {
    out += entry(italic(argument.names.front()), sentences(argument));
  }
  if (!command.children.empty()) out += ".SH COMMANDS\n";
  for (const CommandInfo& child : command.children) {
    out += entry(bold(child.path), fmt::format("{}. See {}(1).", plain(child.description),
                                               bold(man_page_name(child))));
  }
  out += option_sections(command);
  if (!command.footer.empty()) out += ".SH NOTES\n.nf\n" + plain(command.footer) + "\n.fi\n";
  if (command.path != root.path) out += fmt::format(".SH SEE ALSO\n{}(1)\n", bold(root.name));
  return out;
}

}  // namespace tq
