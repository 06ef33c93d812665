// Backend: one device and the operators that run on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "backend/device.h"
#include "backend/operators.h"

namespace tq {

class Backend : public Operators, public Device {
 public:
  virtual std::string_view name() const = 0;    // "cpu"
  virtual std::string description() const = 0;  // threads, ISA, exact or int8 activations
  // Threads of the host that others may use between operators; 0: every CPU.
  virtual int host_threads() const { return 0; }
};

struct CpuOptions {
  int threads = 0;     // 0: every CPU the process may use
  bool exact = false;  // fp32 activations everywhere, no int8 products
};
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);

struct CudaOptions {
  int device = 0;
  int64_t memory_bytes = 0;      // allocated at most; 0: what is free
  bool exact = false;            // fp32 activations everywhere
  bool graphs = true;            // replay decode steps as CUDA graphs
  bool batch_invariant = false;  // a token's logits do not depend on what else is in its batch
  std::string kernels = "auto";  // or those of one tier: "fused", "dequant", "reference"
};
// Throws kDevice when there is no such GPU, or this build has no CUDA.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace tq
