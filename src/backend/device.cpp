#include "backend/device.h"

#include <vector>

namespace tq {

void Device::copy(const void* from, void* to, size_t size_bytes) {
  std::vector<uint8_t> bytes(size_bytes);
  download(from, bytes.data(), size_bytes);
  upload(bytes.data(), to, size_bytes);
}

void Device::save_page(std::span<const PagePlane> planes, int32_t page, std::byte* host) {
  for (const PagePlane& plane : planes) {
    download(plane.first + static_cast<size_t>(page) * plane.page_bytes, host, plane.page_bytes);
    host += plane.page_bytes;
  }
}

void Device::load_page(std::span<const PagePlane> planes, int32_t page, const std::byte* host) {
  for (const PagePlane& plane : planes) {
    upload(host, plane.first + static_cast<size_t>(page) * plane.page_bytes, plane.page_bytes);
    host += plane.page_bytes;
  }
}

}  // namespace tq
