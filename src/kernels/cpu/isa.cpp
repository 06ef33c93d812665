// Which kernel table runs on this machine.
#include <array>

#include "base/env.h"
#include "base/error.h"
#include "kernels/cpu/kernels.h"

namespace tq {
namespace {

// Best last. A table is listed only where the CPU has its instructions.
std::array<const CpuKernels*, 1> available_tables() { return {&generic_kernels()}; }

}  // namespace

const CpuKernels& select_kernels(const std::string& forced) {
  const auto tables = available_tables();
  if (forced.empty()) return *tables.back();
  std::string names;
  for (const CpuKernels* table : tables) {
    if (table->name == forced) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  fail(ErrorCode::kInvalidArgument,
       "TQ_FORCE_ISA={}: no such instruction set here; this machine has: {}", forced, names);
}

const CpuKernels& select_kernels() { return select_kernels(env_or("TQ_FORCE_ISA", "")); }

}  // namespace tq
