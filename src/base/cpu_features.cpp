#include "base/cpu_features.h"

#include <array>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/env.h"
#include "base/error.h"

namespace tq {
namespace {

struct Found {
  std::array<Isa, 3> isas{};
  size_t n = 0;

  Found() {
    isas[n++] = Isa::kGeneric;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // F16C came before FMA. __builtin_cpu_supports also asks whether the system saves the
    // registers.
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    isas[n++] = Isa::kAvx2;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vnni")) {
      isas[n++] = Isa::kAvx512;
    }
#endif
  }
};

}  // namespace

bool has_avx_vnni() {
#if defined(__x86_64__)
  // Older compilers have no name for it that __builtin_cpu_supports takes. Its registers are
  // AVX2's.
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && a >= 1 &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
#else
  return false;
#endif
}

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    default:
      return "generic";
  }
}

std::span<const Isa> available_isas() {
  static const Found found;
  return {found.isas.data(), found.n};
}

Isa select_isa(const std::string& forced) {
  const std::span<const Isa> isas = available_isas();
  if (forced.empty()) return isas.back();
  if (forced == "avxvnni" && has_avx_vnni()) return Isa::kAvx2;
  std::string names = has_avx_vnni() ? "avxvnni" : "";
  for (const Isa isa : isas) {
    if (isa_name(isa) == forced) return isa;
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  fail(ErrorCode::kInvalidArgument,
       "TQ_FORCE_ISA={}: no such instruction set here; this machine has: {}", forced, names);
}

Isa selected_isa() {
  static const Isa isa = select_isa(env_or("TQ_FORCE_ISA", ""));
  return isa;
}

}  // namespace tq
