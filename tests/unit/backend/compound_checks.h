// All checks of compound operators, for the tests of every backend.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <tuple>

#include "unit/backend/compound_attention.h"
#include "unit/backend/compound_operators.h"

namespace tq::fixtures {

struct CompoundCheck {
  const char* name;
  void (*run)(OnBackend& on, int64_t tokens);
};
inline void PrintTo(const CompoundCheck& check, std::ostream* out) { *out << check.name; }

constexpr CompoundCheck kCompoundChecks[] = {
    {"AddResults", check_add_results},
    {"NextInputs", check_next_inputs},
    {"MatmulShared", check_matmul_shared},
    {"MatmulGated", check_matmul_gated},
    {"MatmulGatedExperts", check_matmul_gated_experts},
    {"RouteTokens", check_route_tokens},
    {"PrepareNormed", check_prepare_normed},
    {"PrepareStrided", check_prepare_strided},
    {"AttentionInputs", check_attention_inputs},
    {"LatentInputs", check_latent_inputs},
    {"AttentionPrepared", check_attention_prepared},
    {"LatentAttentionPrepared", check_latent_attention_prepared}};

// A check, and whether activations stay fp32.
using CompoundParam = std::tuple<CompoundCheck, bool>;
inline std::string compound_name(const ::testing::TestParamInfo<CompoundParam>& test) {
  return std::string(std::get<0>(test.param).name) + (std::get<1>(test.param) ? "Exact" : "Int8");
}
inline auto all_compound_params() {
  return ::testing::Combine(::testing::ValuesIn(kCompoundChecks), ::testing::Bool());
}

inline void run_check(const CompoundCheck& check, Backend& backend, double tolerance) {
  for (const int64_t tokens : {1, 5, 40}) {
    SCOPED_TRACE(::testing::Message() << tokens << " tokens");
    OnBackend on(backend, tolerance);
    check.run(on, tokens);
  }
}

}  // namespace tq::fixtures
