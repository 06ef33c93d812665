// The GPU kernels of a build for people and machines: tq devices --kernels. Plain functions.
#pragma once

#include <span>
#include <string>

#include "backend/devices.h"
#include "base/json.h"

namespace tq {

// One object an operator, format and group, with its kernels as they are tried.
Json kernels_json(std::span<const CudaKernel> kernels);
// The same as a table, in which formats and groups with the same kernels share lines.
std::string kernels_text(std::span<const CudaKernel> kernels);

}  // namespace tq
