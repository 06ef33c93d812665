#include "backend/device.h"

#include <vector>

namespace tq {

void Device::copy(const void* from, void* to, size_t size_bytes) {
  std::vector<uint8_t> bytes(size_bytes);
  download(from, bytes.data(), size_bytes);
  upload(bytes.data(), to, size_bytes);
}

}  // namespace tq
