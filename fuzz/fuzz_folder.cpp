// Fuzzes whole folders: native ones (tq convert), those of turboquant-vllm, Hugging Face's and
// GGUF. Any files either open as a checkpoint that can be looked at, verified, loaded and asked for
// a token, or are refused with a tq::Error. The input is several files in one (scratch_folder.h); a
// .safetensors file of which only the JSON header is given gets its length word and its data here.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "convert/verify.h"
#include "engine/engine.h"
#include "scratch_folder.h"
#include "session/load.h"

namespace {

using tq::fuzz::attempt;

constexpr uint64_t kMaxData = 1 << 18;

// Where the data ends that the header speaks of; 0 where that is not clear or too far.
uint64_t data_end(const std::string& header) {
  uint64_t end = 0;
  attempt([&] {
    const tq::Json json = tq::parse_json(header, "header");
    if (!json.is_object()) return;
    for (const tq::Json& tensor : json) {
      const tq::Json offsets =
          tensor.is_object() ? tensor.value("data_offsets", tq::Json()) : tensor;
      if (!offsets.is_array() || offsets.size() != 2 || !offsets[1].is_number_unsigned()) continue;
      end = std::max(end, offsets[1].get<uint64_t>());
    }
  });
  return end > kMaxData ? 0 : end;
}

std::string whole_safetensors(std::string_view header) {
  constexpr int kPattern = 12;  // bytes 0x30 to 0x3b: small finite numbers in every float type
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  file += header;
  const uint64_t n = data_end(std::string(header));
  for (uint64_t i = 0; i < n; ++i) file += static_cast<char>(0x30 + i % kPattern);
  return file;
}

void write_folder(const tq::fuzz::ScratchFolder& folder, std::string_view input) {
  folder.clear();
  for (const auto& [name, text] : tq::fuzz::split_files(input)) {
    const bool header = name.ends_with(".safetensors") && text.starts_with("{");
    folder.write(name, header ? whole_safetensors(text) : std::string(text));
  }
}

void next_tokens(tq::LoadedModel& loaded) {
  tq::Engine engine(*loaded.model, loaded.tokenizer, loaded.eos_ids,
                    {.suppressed_ids = loaded.not_text});
  tq::Request request;
  request.prompt = {0, 1};
  request.sampling = loaded.sampling;
  request.sampling.max_tokens = 2;
  engine.add(request);
  while (engine.step()) {
  }
}

void load(const tq::fs::path& folder) {
  tq::LoadModelOptions options;
  options.cpu.threads = 1;
  options.model.threads = 1;
  options.model.max_batch_tokens = 4;
  options.model.max_sequences = 1;
  options.model.max_context = 32;
  tq::LoadedModel loaded = tq::load_model(tq::open_checkpoint(folder), options);
  next_tokens(loaded);
}

void look(const tq::Checkpoint& checkpoint) {
  for (const tq::TensorEntry& tensor : checkpoint.tensors()) {
    std::vector<float> row(static_cast<size_t>(tensor.in()));
    attempt([&] {
      if (tensor.n_rows() > 0) checkpoint.read_rows(tensor, tensor.n_rows() - 1, 1, row.data());
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tq::fuzz::ScratchFolder folder;
  tq::set_log_level(tq::LogLevel::kQuiet);
  write_folder(folder, {reinterpret_cast<const char*>(data), size});
  attempt([&] { look(*tq::open_checkpoint(folder.path(), {.inspect = true})); });
  attempt([&] { load(folder.path()); });
  attempt([&] { tq::verify_checkpoint(*tq::open_checkpoint(folder.path()), {.n_threads = 1}); });
  attempt([&] {
    tq::update_hashes(folder.path());
    const tq::VerifyReport report =
        tq::verify_checkpoint(*tq::open_checkpoint(folder.path()), {.n_threads = 1});
    if (!report.edited.empty()) std::abort();  // that is what was accepted
  });
  return 0;
}
