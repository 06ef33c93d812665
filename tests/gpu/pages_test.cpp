// Pages of the KV cache on their way to host memory and back.
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/devices.h"
#include "gpu_testing.h"

namespace tq {
namespace {

// Many planes (more than one launch takes), of different sizes; with `odd` one that the kernel
// leaves to single copies.
void saves_and_loads(bool odd) {
  const auto backend = make_cuda_backend({});
  constexpr size_t kPlanes = 200, kPages = 5;
  std::vector<Buffer> buffers;
  std::vector<PagePlane> planes;
  std::vector<std::vector<uint8_t>> bytes;
  size_t page_bytes = 0;
  for (size_t i = 0; i < kPlanes; ++i) {
    const size_t n = i == 3 && odd ? 40 : 16 * (1 + i * 37 % 3000);
    page_bytes += n;
    bytes.emplace_back(n * kPages);
    for (size_t k = 0; k < bytes[i].size(); ++k) bytes[i][k] = static_cast<uint8_t>(k * 31 + i);
    buffers.push_back(backend->allocate(n * kPages));
    backend->upload(bytes[i].data(), buffers[i].data(), bytes[i].size());
    planes.push_back({buffers[i].data(), n});
  }
  Buffer host = backend->allocate_host(2 * page_bytes);
  auto* const memory = host.as<std::byte>().data();
  backend->save_page(planes, 3, memory);
  backend->save_page(planes, 0, memory + page_bytes);
  backend->load_page(planes, 1, memory);
  backend->load_page(planes, 3, memory + page_bytes);
  for (size_t i = 0; i < kPlanes; ++i) {
    const size_t n = planes[i].page_bytes;
    std::vector<uint8_t>& expected = bytes[i];
    std::copy_n(expected.begin() + static_cast<ptrdiff_t>(3 * n), n,
                expected.begin() + static_cast<ptrdiff_t>(n));
    std::copy_n(expected.begin(), n, expected.begin() + static_cast<ptrdiff_t>(3 * n));
    std::vector<uint8_t> actual(expected.size());
    backend->download(buffers[i].data(), actual.data(), actual.size());
    ASSERT_EQ(actual, expected) << "plane " << i;
  }
}

TEST(GpuPages, GoToTheHostAndBack) { saves_and_loads(false); }
TEST(GpuPages, OfOddSizesToo) { saves_and_loads(true); }

}  // namespace
}  // namespace tq
