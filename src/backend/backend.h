// Backend: the operators a decoder is made of, on one device. Every operator takes one Args struct
// of plain data (kernels/op_args.h); pointers are device pointers, matrices are dense row-major,
// activations fp32. Operators run in call order and allocate nothing. One thread drives a backend;
// see docs/architecture.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/weight_encoder.h"
#include "format/traits.h"
#include "kernels/op_args.h"
#include "kernels/sample_args.h"
#include "tensor/buffer.h"

namespace tq {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;    // "cpu"
  virtual std::string description() const = 0;  // threads, ISA, exact or int8 activations
  // Whether activations stay fp32 throughout.
  virtual bool exact() const { return false; }

  // Bytes of device memory in use and at most; 0 where that is the host's.
  virtual int64_t memory_used() const { return 0; }
  virtual int64_t memory_limit() const { return 0; }

  // Device memory, 64-byte aligned; for load time and planning, never called by forward.
  virtual Buffer allocate(size_t size_bytes) = 0;
  // Host memory, for what upload and download move.
  virtual Buffer allocate_host(size_t size_bytes) = 0;
  // True when device memory is host memory: pointers mean the same, nothing needs to be moved.
  virtual bool on_host() const = 0;
  // Copies host memory, which may change once the call returns, to the device: before the
  // operators that are called later.
  virtual void upload(const void* from, void* to, size_t size_bytes) = 0;
  // Copies device memory, as the operators called before leave it, to the host.
  virtual void download(const void* from, void* to, size_t size_bytes) = 0;
  // Copies device memory, as the operators called before leave it, within the device: before the
  // operators that are called later. Here by way of the host.
  virtual void copy(const void* from, void* to, size_t size_bytes);
  // A weight in host memory, where and how this backend's operators read it: itself, or a copy that
  // is in `storage` or lives as long as the backend. What comes back must not be sliced by rows.
  virtual WeightView import_weight(const WeightView& weight, Buffer& storage) = 0;
  // Device memory that import_weight() takes for all of these, whose codes and gains are not read.
  virtual int64_t placed_bytes(std::span<const WeightView> /*weights*/) const { return 0; }
  // Compresses weights on the device; null where the host has to. Lives as long as the backend.
  virtual WeightEncoder* encoder() { return nullptr; }
  // Device memory that the encoder takes until it is told to finish(); 0: there is none.
  virtual int64_t encoder_bytes() const { return 0; }

  // Scratch that prepare() needs for a batch of `tokens` rows.
  virtual size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                                  InputForm form) const = 0;
  virtual Activation prepare(const PrepareArgs& args) = 0;

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void matmul(const MatmulArgs& args) = 0;
  virtual void matmul_experts(const ExpertMatmulArgs& args) = 0;
  virtual void matmul_heads(const HeadMatmulArgs& args) = 0;
  virtual void route(const RouteArgs& args) = 0;
  virtual void combine(const CombineArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void rope_table(const RopeTableArgs& args) = 0;
  virtual void rope(const RopeArgs& args) = 0;
  virtual void kv_store(const KvStoreArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void glu(const GluArgs& args) = 0;
  virtual void add(const AddArgs& args) = 0;
  virtual void softcap(const SoftcapArgs& args) = 0;
  virtual void gather_rows(const GatherRowsArgs& args) = 0;

  // Whether sample() can be called: tokens are chosen where the logits are. Where it cannot, logits
  // are downloaded.
  virtual bool samples() const { return false; }
  virtual void sample(const SampleArgs& args);

  // Compound operators. Here they are run by those above, part by part.
  virtual void add_results(const AddResultsArgs& args);
  virtual void next_inputs(const NextInputsArgs& args);
  virtual void matmul_shared(std::span<const MatmulArgs> products);  // all of one activation
  virtual void matmul_gated(const GatedMatmulArgs& args);
  virtual void matmul_gated_experts(const GatedExpertsArgs& args);
  virtual void attention_inputs(const AttentionInputsArgs& args);
  virtual void latent_inputs(const LatentInputsArgs& args);
  // Inputs, attention and prepare(next) of the result, which next.x is. What lies between may be
  // left as it was, but for the cache.
  virtual Activation attention_prepared(const AttentionInputsArgs& inputs,
                                        const AttentionArgs& args, const PrepareArgs& next);
  virtual Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                                        const PrepareArgs& next);
  virtual void route_tokens(const RouterArgs& args);
  // prepare() of the normed rows; args.x is norm.out, which may be written.
  virtual Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args);
  // prepare() of rows that are `stride` elements apart; `gathered` has room for them side by side.
  // The rows must stay as they are until the products that read the activation have been called.
  virtual Activation prepare_strided(const PrepareArgs& args, int64_t stride, float* gathered);

  // Calls both, which call operators; those of one do not read or write what the other writes, so
  // that they may run side by side.
  virtual void run_beside(const std::function<void()>& side, const std::function<void()>& main);

  // Scratch that attention() needs for such a call; args.batch holds upper bounds.
  virtual size_t attention_bytes(const AttentionArgs& /*args*/) const { return 0; }
  // Calls `operators`, which calls operators. What has the same key is always the same calls with
  // the same arguments, so that a backend may record them once and replay them after.
  virtual void run_recorded(uint64_t key, const std::function<void()>& operators);
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
