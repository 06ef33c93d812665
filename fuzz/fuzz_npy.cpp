// Fuzzes the reader of .npy files: any bytes either are an array whose size is that of its shape,
// or are refused with a tq::Error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/npy.h"

namespace {

// A file in memory with these bytes.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

template <typename Read>
void attempt(Read read) {
  try {
    const auto array = read();
    size_t n = 1;
    for (const int64_t dim : array.shape) n *= static_cast<size_t>(dim);
    if (array.values.size() != n) std::abort();
  } catch (const tq::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  attempt([&] { return tq::read_npy_f32(file.path()); });
  attempt([&] { return tq::read_npy_int(file.path()); });
  return 0;
}
