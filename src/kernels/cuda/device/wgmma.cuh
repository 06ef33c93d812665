// Hopper's warpgroup products: A in registers, B rows of 128 bytes in shared memory, sums in
// registers; a warp has 16 of the 64 rows. They run beside the warp's other instructions:
//   begin_wide(); multiply...(); commit_wide(); ...; wait_wide<kPending>(sum)
// and until then neither sums nor operands may be touched. What cp.async has copied they see once
// it was waited for and a barrier passed. PTX asks for a proxy fence in between; there is none, as
// in NVIDIA's CUTLASS: it would wait for all copies under way. Needs sm_90a.
#pragma once

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

#define TQ_SUMS8(how, i)                                                           \
  how(sum[i]), how(sum[i + 1]), how(sum[i + 2]), how(sum[i + 3]), how(sum[i + 4]), \
      how(sum[i + 5]), how(sum[i + 6]), how(sum[i + 7])

// sum (+)= A B: 64 rows, kN tokens, 32 inputs; the warp has rows 16 * (warp % 4) and on.
template <int kN>
__device__ __forceinline__ void multiply_wide(int (&sum)[kN / 2], const uint32_t (&a)[4],
                                              uint64_t b, int accumulate) {
  static_assert(kN == 32 || kN == 64);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  if constexpr (kN == 32) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %21, 0;"
        "wgmma.mma_async.sync.aligned.m64n32k32.s32.s8.s8 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15},{%16,%17,%18,%19},%20,p;}"
        : TQ_SUMS8("+r", 0), TQ_SUMS8("+r", 8)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  } else {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %37, 0;"
        "wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31},{%32,%33,%34,%35},%36,p;}"
        : TQ_SUMS8("+r", 0), TQ_SUMS8("+r", 8), TQ_SUMS8("+r", 16), TQ_SUMS8("+r", 24)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
#endif
}

// sum += A B of f16 numbers: 64 rows, kN tokens, 16 inputs.
template <int kN>
__device__ __forceinline__ void multiply_f16(float (&sum)[kN / 2], const uint32_t (&a)[4],
                                             uint64_t b) {
  static_assert(kN == 64 || kN == 128);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  if constexpr (kN == 64) {
    asm volatile(
        "{.reg .pred p; setp.eq.b32 p, 0, 0;"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,"
        "%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31},{%32,%33,%34,%35},%36,p,1,1,0;}"
        : TQ_SUMS8("+f", 0), TQ_SUMS8("+f", 8), TQ_SUMS8("+f", 16), TQ_SUMS8("+f", 24)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else {
    asm volatile(
        "{.reg .pred p; setp.eq.b32 p, 0, 0;"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,"
        "%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,"
        "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"
        "%60,%61,%62,%63},{%64,%65,%66,%67},%68,p,1,1,0;}"
        : TQ_SUMS8("+f", 0), TQ_SUMS8("+f", 8), TQ_SUMS8("+f", 16), TQ_SUMS8("+f", 24),
          TQ_SUMS8("+f", 32), TQ_SUMS8("+f", 40), TQ_SUMS8("+f", 48), TQ_SUMS8("+f", 56)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  }
#endif
}

// Until no more than kPending of the commits are left; `sum` is of one of the others.
template <int kPending, int kSums>
__device__ __forceinline__ void wait_wide(int (&sum)[kSums]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static_assert(kSums % 8 == 0);
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (int i = 0; i < kSums; i += 8) asm volatile("" : TQ_SUMS8("+r", i)::"memory");
#endif
}
template <int kPending, int kSums>
__device__ __forceinline__ void wait_wide(float (&sum)[kSums]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static_assert(kSums % 8 == 0);
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (int i = 0; i < kSums; i += 8) asm volatile("" : TQ_SUMS8("+f", i)::"memory");
#endif
}
#undef TQ_SUMS8

__device__ __forceinline__ void begin_wide() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void commit_wide() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Rows of 128 bytes from `address` on, swizzled: 8 rows are a pattern of 1024 bytes.
__device__ __forceinline__ uint64_t describe_rows(uint32_t address) {
  return uint64_t{(address & 0x3ffffu) >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

// Barriers in shared memory, 8 bytes each at a shared address. A phase ends when `arrivals` have
// arrived; the first has parity 0.
__device__ __forceinline__ void init_barrier(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void arrive(uint32_t barrier, bool does) {
  asm volatile(
      "{.reg .pred p; .reg .b64 state; setp.ne.b32 p, %1, 0;"
      "@p mbarrier.arrive.shared::cta.b64 state, [%0];}" ::"r"(barrier),
      "r"(int{does})
      : "memory");
}
__device__ __forceinline__ void wait_for(uint32_t barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;"
        "selp.u32 %0, 1, 0, p;}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
#endif
}

}  // namespace tq::cuda
