// tq: parses the command line, runs one command, turns errors into messages and exit codes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/file_faults.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/descriptors.h"
#include "cli/hub_models.h"
#include "cli/values.h"

namespace tq {
namespace {

constexpr int kUsageExit = 2;
constexpr int kInternalExit = 70;

constexpr const char* kFooter =
    "Exit codes: 0 success, 2 wrong option or argument, 3 not found, 4 corrupt file,\n"
    "5 unsupported, 6 read or write error, 7 disk full, 8 out of memory, 9 device failure,\n"
    "70 internal error, 130 interrupted.\n"
    "'tq help COMMAND' lists a command's options, 'tq help names' what names of other programs "
    "do.\n"
    "Results go to stdout, messages to stderr.";

// The global options are registered on every command, so that they may stand anywhere on the
// command line and each command's help shows them.
void add_global_options(CLI::App& app, GlobalOptions& global) {
  app.add_flag("-q,--quiet", global.quiet, "Print nothing on stderr but errors")->group("Global");
  app.add_flag("--json", global.json,
               "Print the result as one JSON object, and no messages; errors are JSON on stderr")
      ->group("Global");
  app.add_flag("--jsonl", global.jsonl,
               "Print JSON objects, one a line, as results come (run, chat, bench)")
      ->group("Global");
  app.add_option("--progress", global.progress, "Progress on stderr: auto is a bar on a terminal")
      ->check(one_of({"auto", "plain", "off"}))
      ->group("Global");
  app.add_option("--config", global.config,
                 "File of options, \"name = value\" a line; without it ~/.config/tq/config")
      ->group("Global");
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    add_global_options(*command, global);
  }
}

void print_error(bool json, const char* name, const std::string& message) {
  if (json) {
    const Json object = {{"error", {{"code", name}, {"message", message}}}};
    std::fprintf(stderr, "%s\n", json_line(object).c_str());
  } else {
    std::fprintf(stderr, "tq: error: %s\n", message.c_str());
  }
}

void print_usage_error(bool json, const std::string& command, const std::string& message) {
  const std::string more = "\nRun '" + command + " --help' for the options.";
  print_error(json, error_name(ErrorCode::kInvalidArgument), message + (json ? "" : more));
}

// The deepest subcommand that was reached: whose help a usage error should point to.
std::string reached_command(const CLI::App& app) {
  std::string path = app.get_name();
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  return path;
}

int report_parse_result(const CLI::App& app, const CLI::ParseError& error, bool json) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version print to stdout
  print_usage_error(json, reached_command(app), error.what());
  return kUsageExit;
}

// notes: printed once the arguments have been read.
int run_command(CLI::App& app, int argc, char** argv, std::vector<std::string>& notes) {
  // Parsing may fail before it sees --json, and its error must be JSON all the same.
  bool json = std::any_of(argv, argv + argc, [](const char* arg) {
    return !std::strcmp(arg, "--json") || !std::strcmp(arg, "--jsonl");
  });
  try {
    Arguments arguments = translate_arguments(app, {argv + 1, argv + argc});
    notes = std::move(arguments.notes);
    for (const std::string& word : arguments.words) json = json || word.starts_with("--json");
    std::reverse(arguments.words.begin(), arguments.words.end());  // as the parser wants them
    app.parse(std::move(arguments.words));
    print_text("");  // a full disk behind stdout is an error, not a silent truncation
    if (const auto fault = first_file_fault()) throw Error(*fault);
    return 0;
  } catch (const CLI::ParseError& error) {
    return report_parse_result(app, error, json);
  } catch (const UsageError& error) {
    print_usage_error(json, error.command(), error.what());
    return kUsageExit;
  } catch (const Error& thrown) {
    // Zeros in place of a file's bytes look like any damage: that it was cut is what happened.
    const Error error = first_file_fault().value_or(thrown);
    print_error(json, error_name(error.code()), error.what());
    return exit_code(error.code());
  } catch (const fs::filesystem_error& error) {
    const ErrorCode code = errno_code(error.code().value());
    print_error(json, error_name(code), error.path1().string() + ": " + error.code().message());
    return exit_code(code);
  } catch (const std::bad_alloc&) {
    print_error(json, error_name(ErrorCode::kOutOfMemory), "out of memory");
    return exit_code(ErrorCode::kOutOfMemory);
  } catch (const std::exception& error) {
    print_error(json, error_name(ErrorCode::kInternal),
                std::string("unexpected: ") + error.what() + " (please report this)");
    return kInternalExit;
  }
}

int main_function(int argc, char** argv) {
  GlobalOptions global;
  CLI::App app("Compresses language models to about three bits a weight and runs them.", "tq");
  app.option_defaults()->always_capture_default();
  app.set_version_flag("-V,--version", "tq " TQ_VERSION);
  app.require_subcommand(1);
  for (const AddCommand add : all_commands()) add(app, global);
  add_global_options(app, global);
  app.set_help_all_flag("--help-all", "Print the help of every command and exit");
  app.footer(kFooter);
  find_models_by_name(global);
  std::vector<std::string> notes;
  app.parse_complete_callback([&] {
    global.json = global.json || global.jsonl;
    global.quiet = global.quiet || global.json;
    if (global.quiet) set_log_level(LogLevel::kQuiet);
    for (const std::string& note : notes) info("{}", note);
  });
  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return kUsageExit;
  }
  return run_command(app, argc, argv, notes);
}

}  // namespace
}  // namespace tq

int main(int argc, char** argv) {
  tq::reserve_standard_descriptors();
  tq::catch_file_faults();
  return tq::main_function(argc, argv);
}
