// tq version: what this binary is.
#include <fmt/format.h>

#include <string>

#include "cli/command.h"

namespace tq {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "g++ " __VERSION__;
#endif

// Instruction sets the code was compiled for; kernels may pick better ones when they run
// (tq devices).
std::string built_for() {
  std::string isa;
#if defined(__x86_64__)
  isa = "x86-64";
#elif defined(__aarch64__)
  isa = "aarch64";
#else
  isa = "other";
#endif
#if defined(__AVX2__)
  isa += " avx2";
#endif
#if defined(__AVX512F__)
  isa += " avx512f";
#endif
  return isa;
}

void run_version(const GlobalOptions& global) {
  if (global.json) {
    print_json({{"version", TQ_VERSION},
                {"compiler", kCompiler},
                {"build_type", TQ_BUILD_TYPE},
                {"isa", built_for()}});
  } else {
    print_text(fmt::format("tq {}\ncompiler    {}\nbuild type  {}\nisa         {}\n", TQ_VERSION,
                           kCompiler, TQ_BUILD_TYPE, built_for()));
  }
}

}  // namespace

void add_version(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("version", "Print version, compiler and build type");
  command->callback([&global] { run_version(global); });
}

}  // namespace tq
