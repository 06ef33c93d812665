// Which kernel tables run on this machine.
#include <array>

#include "base/cpu_features.h"
#include "base/env.h"
#include "base/error.h"
#include "kernels/cpu/kernels.h"
#if defined(__x86_64__)
#include "kernels/cpu/simd/simd.h"
#endif

namespace tq {
namespace {

struct Tables {
  std::array<CpuKernels, 4> all;
  size_t n = 0;

  Tables() {
    all[n++] = generic_kernels();
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // F16C too
    [[maybe_unused]] const bool avx512 =
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni");
    if (avx2) {
      CpuKernels& table = add("avx2", 98304);
      avx2::fill_matmul_f32(table);
      avx2::fill_matmul_i8(table);
      avx2::fill_attention(table);
      avx2::fill_recurrent(table);
      avx2::fill_elementwise(table);
    }
#if !defined(TQ_NO_AVXVNNI)
    if (avx2 && has_avx_vnni()) {
      CpuKernels& table = add("avxvnni", 98304, all[n - 1]);
      avxvnni::fill_matmul_i8(table);
    }
#endif
#if !defined(TQ_NO_AVX512)
    if (avx2 && avx512) {
      CpuKernels& table = add("avx512", 196608);
      avx512::fill_matmul_f32(table);
      avx512::fill_matmul_i8(table);
      avx512::fill_attention(table);
      avx512::fill_recurrent(table);
      avx512::fill_elementwise(table);
    }
#endif
#endif
  }

  // A table with the kernels of another, to be overwritten.
  CpuKernels& add(std::string_view name, int64_t part_cost,
                  const CpuKernels& base = generic_kernels()) {
    CpuKernels& table = all[n++];
    table = base;
    table.name = name;
    table.part_cost = part_cost;
    return table;
  }
};

}  // namespace

std::span<const CpuKernels> available_kernels() {
  static const Tables kTables;
  return {kTables.all.data(), kTables.n};
}

const CpuKernels& select_kernels(const std::string& forced) {
  const auto tables = available_kernels();
  if (forced.empty()) return tables.back();
  std::string names;
  for (const CpuKernels& table : tables) {
    if (table.name == forced) return table;
    names += (names.empty() ? "" : ", ") + std::string(table.name);
  }
  fail(ErrorCode::kInvalidArgument,
       "TQ_FORCE_ISA={}: no such instruction set here; this machine has: {}", forced, names);
}

const CpuKernels& select_kernels() { return select_kernels(env_or("TQ_FORCE_ISA", "")); }

}  // namespace tq
