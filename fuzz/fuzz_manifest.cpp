// Fuzzes the reader of native descriptions: any text either is one, which written and read again is
// the same, or is refused with a tq::Error.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "io/native/native_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const bool looks_native = tq::is_native_manifest(text);
  try {
    const auto read = [](const std::string& from) {
      return tq::NativeManifest::parse(from, "tq_config.json", tq::ManifestHashes::kRead);
    };
    const tq::Json written = read(text).to_json();
    if (!looks_native || read(written.dump()).to_json() != written) std::abort();
  } catch (const tq::Error&) {
  }
  return 0;
}
