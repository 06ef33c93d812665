// tq completion: shell completion scripts, generated from the command tree itself.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/values.h"

namespace tq {
namespace {

// Text inside single quotes of bash, zsh and fish.
std::string quoted(std::string text) {
  for (size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4) {
    text.replace(at, 1, "'\\''");
  }
  return "'" + text + "'";
}

std::string bash_script(const CommandInfo& root) {
  std::string paths;
  std::string values;
  std::string words;
  for_each_command(root, [&](const CommandInfo& command) {
    if (!paths.empty()) paths += "|";
    if (command.path != root.path) paths += quoted(command.path);
    std::vector<std::string> names;
    for (const CommandInfo& child : command.children) names.push_back(child.name);
    for (const OptionInfo& option : command.options) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (!option.takes_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) {
        patterns.push_back(quoted(command.path + " " + name));
      }
      values += fmt::format("    {}) words={} ;;\n", fmt::join(patterns, "|"),
                            quoted(fmt::format("{}", fmt::join(option.choices, " "))));
    }
    words += fmt::format("      {}) words={} ;;\n", quoted(command.path),
                         quoted(fmt::format("{}", fmt::join(names, " "))));
  });
  return fmt::format(R"(# bash completion of tq: source this file, or save it as
# ~/.local/share/bash-completion/completions/tq
_tq() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local path=tq word words=
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
      {}) path="$path $word" ;;
    esac
  done
  case "$path $previous" in
{}    *) case "$path" in
{}    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _tq tq
)",
                     paths, values, words);
}

std::string function_name(const CommandInfo& command) {
  std::string name = "_" + command.path;
  for (char& c : name) {
    if (c == ' ' || c == '-') c = '_';
  }
  return name;
}

// One option as an _arguments specification of zsh: '(-q --quiet)'{-q,--quiet}'[...]'.
std::string zsh_option(const OptionInfo& option) {
  std::string description = option.description;
  for (size_t at = 0; (at = description.find_first_of("[]:", at)) != std::string::npos; at += 2) {
    description.insert(at, "\\");
  }
  std::string value;
  if (option.takes_value) {
    value = option.choices.empty() ? ":value:_files"
                                   : fmt::format(":value:({})", fmt::join(option.choices, " "));
  }
  std::string out;
  for (const std::string& name : option.names) {
    out +=
        fmt::format(" \\\n    {}", quoted(fmt::format("({}){}[{}]{}", fmt::join(option.names, " "),
                                                      name, description, value)));
  }
  return out;
}

std::string zsh_script(const CommandInfo& root) {
  std::string functions;
  for_each_command(root, [&](const CommandInfo& command) {
    std::string options;
    for (const OptionInfo& option : command.options) options += zsh_option(option);
    if (command.children.empty()) {
      functions += fmt::format("{}() {{\n  _arguments -s{} \\\n    '*:file:_files'\n}}\n",
                               function_name(command), options);
      return;
    }
    std::string names;
    std::string cases;
    for (const CommandInfo& child : command.children) {
      names += " " + child.name;
      cases += fmt::format("    {}) {} ;;\n", child.name, function_name(child));
    }
    functions += fmt::format(
        "{}() {{\n  local line state\n  _arguments -C{} \\\n    '1:command:{}' \\\n"
        "    '*::argument:->arguments'\n  case $line[1] in\n{}  esac\n}}\n",
        function_name(command), options,
        command.arguments.empty() ? fmt::format("({})", names.substr(1))
                                  : fmt::format("{{compadd{}; _files}}", names),
        cases);
  });
  return "#compdef tq\n# zsh completion of tq: save it as _tq in a folder of $fpath\n" + functions +
         "compdef _tq tq\n";
}

std::string fish_script(const CommandInfo& root) {
  std::string out = "# fish completion of tq: save it as ~/.config/fish/completions/tq.fish\n";
  for_each_command(root, [&](const CommandInfo& command) {
    // True once all words of the path were typed.
    std::string condition = command.path == root.path ? "__fish_use_subcommand" : "";
    for (const std::string& word : CLI::detail::split(command.path, ' ')) {
      if (word == root.name) continue;
      condition += (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
    }
    for (const CommandInfo& child : command.children) {
      out += fmt::format("complete -c tq -n {}{} -a {} -d {}\n", quoted(condition),
                         command.arguments.empty() ? " -f" : "", child.name,
                         quoted(child.description));
    }
    for (const OptionInfo& option : command.options) {
      out += fmt::format("complete -c tq -n {}", quoted(condition));
      for (const std::string& name : option.names) {
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.takes_value) out += " -r";
      if (!option.choices.empty()) {
        out += " -f -a " + quoted(fmt::format("{}", fmt::join(option.choices, " ")));
      }
      out += " -d " + quoted(option.description) + "\n";
    }
  });
  return out;
}

}  // namespace

void add_completion(CLI::App& app, const GlobalOptions& global) {
  (void)global;
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a shell completion script");
  command->add_option("SHELL", *shell, "Shell to write for")
      ->required()
      ->check(one_of({"bash", "zsh", "fish"}));
  add_examples(*command, {"tq completion bash > ~/.local/share/bash-completion/completions/tq",
                          "tq completion zsh > ~/.zfunc/_tq",
                          "tq completion fish > ~/.config/fish/completions/tq.fish"});
  command->callback([shell, &app] {
    const CommandInfo root = describe_command(app);
    print_text(*shell == "bash"  ? bash_script(root)
               : *shell == "zsh" ? zsh_script(root)
                                 : fish_script(root));
  });
}

}  // namespace tq
