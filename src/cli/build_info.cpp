#include "cli/build_info.h"

#include "tq_commit.h"  // written at every build

namespace tq {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "g++ " __VERSION__;
#endif

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

}  // namespace

const BuildInfo& build_info() {
  static const BuildInfo kInfo{TQ_VERSION,    TQ_COMMIT,   kCompiler,
                               TQ_BUILD_TYPE, built_for(), TQ_CUDA_BUILD};
  return kInfo;
}

}  // namespace tq
