// Fuzzes the GGUF reader, the architecture tables and the block decoders: any bytes either open as
// a checkpoint that can be read, or are refused with a tq::Error.
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "io/gguf/gguf_checkpoint.h"
#include "io/gguf/gguf_dequant.h"
#include "io/gguf/gguf_file.h"

namespace {

// Calls get(), which may refuse.
template <typename F>
void attempt(F get) {
  try {
    get();
  } catch (const tq::Error&) {
  }
}

void read_metadata(const tq::GgufFile& file) {
  for (const std::string_view key : file.keys()) {
    attempt([&] { file.string(key); });
    attempt([&] { file.integer(key); });
    attempt([&] { file.number(key); });
    attempt([&] { file.boolean(key); });
    attempt([&] { file.strings(key); });
    attempt([&] { file.integers(key); });
    attempt([&] { file.floats(key); });
  }
}

void decode_tensors(const tq::GgufFile& file) {
  for (const tq::GgufTensor& tensor : file.tensors()) {
    if (tq::find_ggml_type(static_cast<uint32_t>(tensor.type)) == nullptr) continue;
    const tq::GgmlTypeInfo& type = tq::ggml_type_info(tensor.type);
    const auto n_blocks = static_cast<int64_t>(tensor.size_bytes) / type.block_bytes;
    std::vector<float> out(static_cast<size_t>(n_blocks * type.block_weights));
    type.decode(file.tensor_bytes(tensor).data(), n_blocks, out.data());
  }
}

void read_checkpoint(tq::GgufFile file, const tq::OpenOptions& options) {
  const auto checkpoint = tq::open_gguf_checkpoint(std::move(file), options);
  if (checkpoint->problem()) return;
  for (const tq::TensorEntry& tensor : checkpoint->tensors()) {
    std::vector<float> out(static_cast<size_t>(tensor.n_elements()));
    checkpoint->read_rows(tensor, 0, tensor.n_rows(), out.data());
  }
  for (const std::string& name : checkpoint->text_files()) checkpoint->text_file(name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    tq::GgufFile file(std::span(data, size), "fuzz.gguf");
    read_metadata(file);
    decode_tensors(file);
    read_checkpoint(std::move(file), {});
    read_checkpoint({std::span(data, size), "fuzz.gguf"}, {.inspect = true});
  });
  return 0;
}
