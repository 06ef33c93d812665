// THE LIST of commands. A new one: write cmd_<name>.cpp, declare and add it here.
#include <array>

#include "cli/command.h"

namespace tq {

void add_convert(CLI::App& app, const GlobalOptions& global);
void add_run(CLI::App& app, const GlobalOptions& global);
void add_chat(CLI::App& app, const GlobalOptions& global);
void add_serve(CLI::App& app, const GlobalOptions& global);
void add_eval(CLI::App& app, const GlobalOptions& global);
void add_bench(CLI::App& app, const GlobalOptions& global);
void add_pull(CLI::App& app, const GlobalOptions& global);
void add_list(CLI::App& app, const GlobalOptions& global);
void add_rm(CLI::App& app, const GlobalOptions& global);
void add_inspect(CLI::App& app, const GlobalOptions& global);
void add_plan(CLI::App& app, const GlobalOptions& global);
void add_verify(CLI::App& app, const GlobalOptions& global);
void add_synth(CLI::App& app, const GlobalOptions& global);
void add_template(CLI::App& app, const GlobalOptions& global);
void add_tokenize(CLI::App& app, const GlobalOptions& global);
void add_devices(CLI::App& app, const GlobalOptions& global);
void add_completion(CLI::App& app, const GlobalOptions& global);
void add_man(CLI::App& app, const GlobalOptions& global);
void add_version(CLI::App& app, const GlobalOptions& global);
void add_help(CLI::App& app, const GlobalOptions& global);

std::span<const AddCommand> all_commands() {
  static constexpr std::array kCommands{
      add_convert,  add_run,     add_chat,       add_serve, add_eval,    add_bench, add_pull,
      add_list,     add_rm,      add_inspect,    add_plan,  add_verify,  add_synth, add_template,
      add_tokenize, add_devices, add_completion, add_man,   add_version, add_help,
  };
  return kCommands;
}

}  // namespace tq
