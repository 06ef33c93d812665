// tq version: what this binary is.
#include <fmt/format.h>

#include <string>

#include "cli/build_info.h"
#include "cli/command.h"
#include "cli/result.h"

namespace tq {
namespace {

void run_version(const GlobalOptions& global) {
  const BuildInfo& info = build_info();
  if (global.json) {
    Json json = result_json("version");
    json.update(versions_json());
    json["version"] = info.version;
    print_json(json);
    return;
  }
  print_text(
      fmt::format("tq {} (turboquant.cpp)\ncommit      {}\ncompiler    {}\n"
                  "build type  {}\nisa         {}\nCUDA        {}\n",
                  info.version, info.commit, info.compiler, info.build_type, info.isa, info.cuda));
}

}  // namespace

Json versions_json() {
  const BuildInfo& info = build_info();
  return {{"tq", info.version},        {"commit", info.commit},
          {"compiler", info.compiler}, {"build_type", info.build_type},
          {"isa", info.isa},           {"cuda", info.cuda}};
}

void add_version(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("version", "Print version, commit, compiler, build type and CUDA");
  add_examples(*command, {"tq version", "tq version --json"});
  command->callback([&global] { run_version(global); });
}

}  // namespace tq
