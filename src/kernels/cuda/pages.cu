// Pages of the KV cache between the GPU's planes and pinned host memory: the kernel itself reads
// and writes host memory, so that a page of any number of layers is one launch and the host never
// waits.
#include <algorithm>

#include "kernels/cuda/device/common.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ops.h"

namespace tq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerBlock = 4 * kThreads;  // pieces of 16 bytes
constexpr int kMostPlanes = 160;         // of a launch: parameters of a kernel are 4 KB

struct Planes {
  uint4* first[kMostPlanes];
  uint32_t pieces[kMostPlanes];   // of a page
  uint32_t in_host[kMostPlanes];  // where its pieces begin there
};
static_assert(sizeof(Planes) <= 3072);

// Block (part of a page, plane).
__global__ void __launch_bounds__(kThreads)
    move_page_kernel(const __grid_constant__ Planes planes, int32_t page, uint4* host, bool save) {
  start_kernel();
  const uint32_t pieces = planes.pieces[blockIdx.y];
  uint4* const on_gpu = planes.first[blockIdx.y] + int64_t{page} * pieces;
  uint4* const on_host = host + planes.in_host[blockIdx.y];
  for (uint32_t i = blockIdx.x * kPerBlock + threadIdx.x;
       i < min(pieces, (blockIdx.x + 1) * kPerBlock); i += kThreads) {
    if (save) {
      on_host[i] = on_gpu[i];
    } else {
      on_gpu[i] = on_host[i];
    }
  }
}

void move_page(std::span<const PagePlane> planes, int32_t page, std::byte* host, bool save,
               cudaStream_t stream) {
  constexpr size_t kPiece = sizeof(uint4);
  while (!planes.empty()) {
    const auto some = planes.first(std::min<size_t>(planes.size(), kMostPlanes));
    planes = planes.subspan(some.size());
    Planes params;
    uint32_t begin = 0, most = 0;
    for (size_t i = 0; i < some.size(); ++i) {
      params.first[i] = reinterpret_cast<uint4*>(some[i].first);
      params.pieces[i] = static_cast<uint32_t>(some[i].page_bytes / kPiece);
      params.in_host[i] = begin;
      begin += params.pieces[i];
      most = std::max(most, params.pieces[i]);
    }
    launch("move_page", move_page_kernel,
           {dim3(blocks_for(most, kPerBlock), static_cast<unsigned>(some.size())), dim3(kThreads)},
           stream, params, page, reinterpret_cast<uint4*>(host), save);
    host += begin * kPiece;
  }
}

}  // namespace

bool moves_pages(std::span<const PagePlane> planes, const std::byte* host) {
  return reinterpret_cast<uintptr_t>(host) % sizeof(uint4) == 0 &&
         std::all_of(planes.begin(), planes.end(), [](const PagePlane& plane) {
           return plane.page_bytes % sizeof(uint4) == 0 &&
                  reinterpret_cast<uintptr_t>(plane.first) % sizeof(uint4) == 0;
         });
}

void save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host,
               cudaStream_t stream) {
  move_page(planes, page, host, true, stream);
}

void load_page(std::span<const PagePlane> planes, int32_t page, const std::byte* host,
               cudaStream_t stream) {
  move_page(planes, page, const_cast<std::byte*>(host), false, stream);
}

}  // namespace tq::cuda
