#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/product/cublaslt.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <mutex>

namespace tq::cuda {
namespace {

// The functions of the library, found once.
struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) make_product = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_product = nullptr;
  decltype(&cublasLtMatmulDescDestroy) free_product = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) make_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) free_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) make_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) free_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_kernels = nullptr;
  const char* problem = nullptr;

  Library() {
    void* handle = open();
    if (handle == nullptr) {
      problem = "libcublasLt.so.13 or .12 is not found";
      return;
    }
    bool all = true;
    const auto find = [&](const char* name, auto& function) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
      all = all && function != nullptr;
    };
    find("cublasLtCreate", create);
    find("cublasLtMatmul", matmul);
    find("cublasLtMatmulDescCreate", make_product);
    find("cublasLtMatmulDescSetAttribute", set_product);
    find("cublasLtMatmulDescDestroy", free_product);
    find("cublasLtMatrixLayoutCreate", make_layout);
    find("cublasLtMatrixLayoutDestroy", free_layout);
    find("cublasLtMatmulPreferenceCreate", make_preference);
    find("cublasLtMatmulPreferenceSetAttribute", set_preference);
    find("cublasLtMatmulPreferenceDestroy", free_preference);
    find("cublasLtMatmulAlgoGetHeuristic", find_kernels);
    if (!all) problem = "libcublasLt lacks functions";
  }
  // Never closed: the driver may hold on to what it loaded.
  static void* open() {
    for (const char* name :
         {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so.13",
          "/usr/local/cuda/lib64/libcublasLt.so.12"}) {
      if (void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return handle;
    }
    return nullptr;
  }
};

const Library& library() {
  static const Library loaded;
  return loaded;
}

// Bytes that every row of out is aligned to.
uint32_t out_alignment(const BlasProduct& p) {
  const auto bits = reinterpret_cast<uintptr_t>(p.out) | static_cast<uintptr_t>(p.out_stride) * 4;
  return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : 4;
}

// A product's shape with the kernel that was found for it.
struct Plan {
  BlasProduct shape = {};  // its pointers are those of the first product
  int device = -1;
  uint64_t last_use = 0;  // 0: this place is free
  bool found = false;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};

  void release() {
    const Library& blas = library();
    if (product != nullptr) blas.free_product(product);
    for (cublasLtMatrixLayout_t layout : {w, x, out}) {
      if (layout != nullptr) blas.free_layout(layout);
    }
    *this = {};
  }
};

bool same_shape(const BlasProduct& a, const BlasProduct& b) {
  return a.bf16 == b.bf16 && a.rows == b.rows && a.tokens == b.tokens && a.in == b.in &&
         a.w_stride == b.w_stride && a.x_stride == b.x_stride && a.out_stride == b.out_stride &&
         a.accumulate == b.accumulate && out_alignment(a) == out_alignment(b);
}

void blas_check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail_device(what, "cuBLASLt refused");
}

// Plans of the latest shapes, of all GPUs.
class Plans {
 public:
  cublasLtHandle_t handle(int device) {
    if (device >= kMaxDevices) fail_call("more than 64 GPUs");
    cublasLtHandle_t& made = handles_[static_cast<size_t>(device)];
    if (made == nullptr) blas_check(library().create(&made), "cublasLtCreate");
    return made;
  }
  const Plan& of(const BlasProduct& shape, int device) {
    Plan* oldest = plans_.data();
    for (Plan& plan : plans_) {
      if (plan.last_use > 0 && plan.device == device && same_shape(plan.shape, shape)) {
        plan.last_use = ++n_uses_;
        return plan;
      }
      if (plan.last_use < oldest->last_use) oldest = &plan;
    }
    oldest->release();
    oldest->shape = shape;
    oldest->device = device;
    oldest->last_use = ++n_uses_;
    make(*oldest);
    return *oldest;
  }
  std::mutex mutex;

 private:
  static constexpr int kMaxDevices = 64;
  static constexpr int kMaxPlans = 128;

  // Row-major matrices are the transposes of what cuBLAS calls matrices: out' = w x'.
  void make(Plan& plan) {
    const Library& blas = library();
    const BlasProduct& p = plan.shape;
    const cudaDataType_t type = p.bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    blas_check(blas.make_product(&plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
    blas_check(blas.set_product(plan.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                sizeof(transposed)),
               "a product");
    const auto in = static_cast<uint64_t>(p.in), rows = static_cast<uint64_t>(p.rows),
               tokens = static_cast<uint64_t>(p.tokens);
    blas_check(blas.make_layout(&plan.w, type, in, rows, p.w_stride), "a matrix");
    blas_check(blas.make_layout(&plan.x, type, in, tokens, p.x_stride), "a matrix");
    blas_check(blas.make_layout(&plan.out, CUDA_R_32F, rows, tokens, p.out_stride), "a matrix");
    cublasLtMatmulPreference_t preference = nullptr;
    blas_check(blas.make_preference(&preference), "a preference");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
      blas_check(blas.set_preference(preference, what, &value, sizeof(value)), "a preference");
    };
    const size_t workspace = kBlasWorkspace;
    const uint32_t input_alignment = 16, output_alignment = out_alignment(p);
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, input_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, input_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, output_alignment);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, output_alignment);
    cublasLtMatmulHeuristicResult_t result = {};
    int n = 0;
    const cublasStatus_t status =
        blas.find_kernels(handle(plan.device), plan.product, plan.w, plan.x, plan.out, plan.out,
                          preference, 1, &result, &n);
    blas.free_preference(preference);
    plan.found = status == CUBLAS_STATUS_SUCCESS && n > 0 && result.state == CUBLAS_STATUS_SUCCESS;
    plan.algorithm = result.algo;
  }

  std::array<cublasLtHandle_t, kMaxDevices> handles_{};
  std::array<Plan, kMaxPlans> plans_{};
  uint64_t n_uses_ = 0;
};

Plans& plans() {
  static Plans all;
  return all;
}

}  // namespace

bool cublaslt_built() { return true; }

const char* cublaslt_problem() { return library().problem; }

bool blas_multiply(const BlasProduct& p, cudaStream_t stream) {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current GPU");
  const std::lock_guard lock(plans().mutex);
  const Plan& plan = plans().of(p, device);
  if (!plan.found) return false;
  const float one = 1, zero = 0;
  blas_check(library().matmul(plans().handle(device), plan.product, &one, p.w, plan.w, p.x, plan.x,
                              p.accumulate ? &one : &zero, p.out, plan.out, p.out, plan.out,
                              &plan.algorithm, p.workspace, kBlasWorkspace, stream),
             "cublasLtMatmul");
  return true;
}

}  // namespace tq::cuda

#else

namespace tq::cuda {

bool cublaslt_built() { return false; }
const char* cublaslt_problem() { return "this build has no cuBLASLt (its header was not found)"; }
bool blas_multiply(const BlasProduct& /*product*/, cudaStream_t /*stream*/) { return false; }

}  // namespace tq::cuda

#endif
