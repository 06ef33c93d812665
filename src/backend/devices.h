// The devices of this machine besides its CPUs, and the kernels of this build for them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tq {

struct CudaDevice {
  int index;
  std::string name;
  int major;  // compute capability
  int minor;
  int64_t memory_bytes;
};
struct CudaDevices {
  std::vector<CudaDevice> devices;
  std::string problem;  // why there are none; empty when there are
};
CudaDevices list_cuda_devices();

// One of the kernels that can run an operator with weights of a format.
struct CudaKernel {
  std::string op;      // "matmul_experts"
  std::string format;  // of the weights
  int group;           // of these; 0: none
  std::string tier;    // CudaOptions::kernels, or "any"
  std::string name;
  std::string limits;  // what it depends on besides
  int64_t from = 0;    // tokens of a matrix for which "auto" takes it, for large matrices;
  int64_t to = 0;      // to 0: none, -1: all others
};
struct CudaKernels {
  std::vector<CudaKernel> kernels;  // those of one operator, format and group as they are tried
  std::string problem;              // why there are none; empty when there are
};
// A property of the build: no GPU is needed.
CudaKernels list_cuda_kernels();

}  // namespace tq
