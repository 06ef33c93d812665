// Which of the instruction sets that our vector code is written for this CPU has, and which one
// runs. Immutable after first use; thread safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tq {

// Each includes what is above it.
enum class Isa {
  kGeneric,  // portable C++
  kAvx2,     // with FMA and F16C: Haswell and Zen onwards
  kAvx512,   // with BW, DQ, VL, VBMI and VNNI: Ice Lake and Zen 4 onwards
};

std::string_view isa_name(Isa isa);  // "generic", "avx2", "avx512"

// AVX-VNNI beside AVX2, which products have kernels for ("avxvnni").
bool has_avx_vnni();

// Ascending; the first is kGeneric.
std::span<const Isa> available_isas();

// The best of available_isas(), or the one that `forced` names; empty: the best; "avxvnni", where
// it is there: kAvx2. Throws kInvalidArgument for any other, with the names
// there are.
Isa select_isa(const std::string& forced);
// By the environment variable TQ_FORCE_ISA as it was at the first call.
Isa selected_isa();

}  // namespace tq
