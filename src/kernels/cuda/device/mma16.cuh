// Products of 16-bit tiles on tensor cores with fp32 sums: mma.m16n8k16, and the loads of its
// fragments from shared memory.
#pragma once

#include "kernels/cuda/device/common.cuh"

namespace tq::cuda {

// sum[16, 8] += a[16, 16] * b[16, 8]; b's columns are contiguous.
template <typename T>
__device__ __forceinline__ void multiply16(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                           uint32_t b1);
template <>
__device__ __forceinline__ void multiply16<__half>(float (&sum)[4], const uint32_t (&a)[4],
                                                   uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply16<__nv_bfloat16>(float (&sum)[4], const uint32_t (&a)[4],
                                                          uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices in shared memory; lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_matrices_at(uint32_t (&out)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed_at(uint32_t (&out)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices(uint32_t (&out)[4], const void* row) {
  load_matrices_at(out, shared_address(row));
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&out)[4], const void* row) {
  load_matrices_transposed_at(out, shared_address(row));
}
// The first two; lanes 0 .. 15 give addresses.
__device__ __forceinline__ void load_two_matrices_transposed(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(out[0]), "=r"(out[1])
               : "r"(shared_address(row))
               : "memory");
}

// Where rows in shared memory are multiples of 128 bytes, the 16-byte piece i of row r lies at
// place i ^ (r % 8): eight rows' pieces are in different banks. This is its offset in the row,
__device__ __forceinline__ uint32_t piece_offset(int row, int piece) {
  return static_cast<uint32_t>((piece ^ (row & 7)) * 16);
}
// and in a block of rows of 128 bytes.
__device__ __forceinline__ uint32_t swizzled(int row, int piece) {
  return row * 128 + piece_offset(row, piece);
}

// 16 bytes to shared memory.
__device__ __forceinline__ void store_shared(uint32_t to, const uint4& x) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(to), "r"(x.x), "r"(x.y), "r"(x.z),
               "r"(x.w)
               : "memory");
}

// The barrier `id` (from 1 on) of kWarps warps.
template <int kWarps>
__device__ __forceinline__ void sync_warps(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kWarps * kWarp) : "memory");
}

__device__ __forceinline__ uint32_t pack_half2(float x, float y) {
  const __half2 both = __floats2half2_rn(x, y);
  return *reinterpret_cast<const uint32_t*>(&both);
}

constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two neighbours, each as the sum of two 16-bit numbers.
template <typename T>
__device__ __forceinline__ void store_split(float x, float y, T* high, T* low) {
  alignas(4) T first[2], second[2];
  narrow(x, first[0]);
  narrow(y, first[1]);
  narrow(x - widen(first[0]), second[0]);
  narrow(y - widen(first[1]), second[1]);
  *reinterpret_cast<uint32_t*>(high) = *reinterpret_cast<const uint32_t*>(first);
  *reinterpret_cast<uint32_t*>(low) = *reinterpret_cast<const uint32_t*>(second);
}

// Over the four lanes of a fragment's row.
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// 16 bytes to shared memory; zeros, and nothing is read, if not `inside`.
__device__ __forceinline__ void copy_async16_or_zero(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}

}  // namespace tq::cuda
