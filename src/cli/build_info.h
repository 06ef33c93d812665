// What this binary is: printed by `tq version`, and for whoever reports a result.
#pragma once

#include <string>

namespace tq {

struct BuildInfo {
  std::string version;   // "0.1.0"
  std::string commit;    // 12 hex digits, "-dirty" where sources differed; "unknown" outside of git
  std::string compiler;  // "g++ 12.2.0"
  std::string build_type;  // "Release"
  std::string isa;   // that the code outside of kernels was compiled for; kernels choose theirs
  std::string cuda;  // "13.0 for 90a-real"; "none" without CUDA kernels
};

const BuildInfo& build_info();

}  // namespace tq
