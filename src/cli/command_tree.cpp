#include "cli/command_tree.h"

namespace tq {
namespace {

// CLI11 shows the values an option may take as "TEXT:{auto,plain,off}" in its type name.
std::vector<std::string> choices_of(const std::string& type) {
  const size_t begin = type.find('{');
  const size_t end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

OptionInfo describe_option(const CLI::Option& option) {
  OptionInfo info;
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  if (option.get_positional()) info.names = {option.get_single_name()};
  info.description = option.get_description();
  info.group = option.get_group();
  info.takes_value = option.get_items_expected_max() > 0;
  info.required = option.get_required();
  const std::string type = option.get_type_name();
  if (info.takes_value) {
    info.value = type.substr(0, type.find_first_of(":[ "));
    if (info.value.empty()) info.value = "VALUE";
    info.default_value = option.get_default_str();
  }
  info.choices = choices_of(type);
  return info;
}

CommandInfo describe(const CLI::App& app, const std::string& parent_path) {
  CommandInfo info;
  info.name = app.get_name();
  info.path = parent_path.empty() ? info.name : parent_path + " " + info.name;
  info.description = app.get_description();
  info.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? info.arguments : info.options).push_back(describe_option(*option));
  }
  for (const CLI::App* child : app.get_subcommands({})) {
    if (!child->get_group().empty()) info.children.push_back(describe(*child, info.path));
  }
  return info;
}

}  // namespace

CommandInfo describe_command(const CLI::App& app) { return describe(app, ""); }

}  // namespace tq
