#include "tensor/buffer.h"

#include "base/error.h"

namespace tq {

Buffer::Buffer(size_t size_bytes) : size_bytes_(size_bytes) {
  void* memory = ::operator new[](size_bytes, std::align_val_t{kAlignment}, std::nothrow);
  if (memory == nullptr) {
    fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes of host memory", size_bytes);
  }
  data_.reset(static_cast<uint8_t*>(memory));
}

}  // namespace tq
