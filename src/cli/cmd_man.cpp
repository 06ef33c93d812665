// tq man: manual pages, written from the command tree itself.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/man_page.h"

namespace tq {
namespace {

struct ManOptions {
  std::vector<std::string> command;
  std::string all;  // folder for all pages; empty: print one
};

const CommandInfo& find_command(const CommandInfo& root, const std::vector<std::string>& words) {
  const CommandInfo* at = &root;
  for (const std::string& word : words) {
    const CommandInfo* found = nullptr;
    for (const CommandInfo& child : at->children) {
      if (child.name == word) found = &child;
    }
    if (found == nullptr) {
      fail(ErrorCode::kInvalidArgument, "there is no command '{} {}'; '{} --help' lists them",
           at->path, word, at->path);
    }
    at = found;
  }
  return *at;
}

void run_man(const CommandInfo& root, const ManOptions& options) {
  if (options.all.empty()) {
    print_text(man_page(find_command(root, options.command), root));
    return;
  }
  std::filesystem::create_directories(options.all);
  for_each_command(root, [&](const CommandInfo& command) {
    const std::filesystem::path path =
        std::filesystem::path(options.all) / (man_page_name(command) + ".1");
    write_file_atomic(path.string(), man_page(command, root));
  });
}

}  // namespace

void add_man(CLI::App& app, const GlobalOptions& global) {
  (void)global;
  auto options = std::make_shared<ManOptions>();
  CLI::App* command =
      app.add_subcommand("man", "Print the manual page of a command (for man -l -)");
  command->add_option("COMMAND", options->command, "Command, such as run or eval ppl; default: tq");
  command->add_option("--all", options->all, "Write all pages as files into this folder");
  add_examples(*command, {"tq man run | man -l -", "tq man --all ~/.local/share/man/man1"});
  command->callback([options, &app] { run_man(describe_command(app), *options); });
}

}  // namespace tq
