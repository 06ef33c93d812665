// Fuzzes the safetensors header and index readers: any bytes are either refused with a tq::Error or
// give tensors that tile the file.
#include <cstdint>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/math.h"
#include "io/safetensors/safetensors_header.h"
#include "io/safetensors/safetensors_index.h"

namespace {

void check_header(std::span<const uint8_t> file) {
  const tq::SafetensorsHeader header = tq::parse_safetensors_header(file, "fuzz.safetensors");
  uint64_t end = header.entries.empty() ? file.size() : header.entries[0].offset;
  for (const tq::SafetensorsEntry& entry : header.entries) {
    const auto elements = tq::checked_product(entry.shape);
    const auto bytes = static_cast<uint64_t>(tq::dtype_info(entry.dtype).bytes);
    if (!elements || entry.offset != end || bytes * *elements != entry.size_bytes) __builtin_trap();
    end += entry.size_bytes;
  }
  if (end != file.size()) __builtin_trap();
}

void check_index(std::string_view text) {
  for (const auto& [tensor, file] : tq::parse_safetensors_index(text, "fuzz.json")) {
    if (file.empty() || file.find('/') != std::string::npos) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    check_header({data, size});
  } catch (const tq::Error&) {
  }
  try {
    check_index({reinterpret_cast<const char*>(data), size});
  } catch (const tq::Error&) {
  }
  return 0;
}
