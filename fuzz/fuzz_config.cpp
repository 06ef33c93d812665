// Fuzzes what is read from config.json and tq_config.json: any text is either refused with a
// tq::Error or understood; a manifest that is understood is written back as the same one.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "io/folder.h"
#include "io/native/native_manifest.h"
#include "io/reference/reference_checkpoint.h"
#include "io/reference/reference_shapes.h"
#include "model/arch/registry.h"

namespace {

template <typename F>
void attempt(F read) {
  try {
    read();
  } catch (const tq::Error&) {
  }
}

void read_manifest(const std::string& text) {
  const auto read = [](const std::string& json) {
    return tq::NativeManifest::parse(json, "tq_config.json", tq::ManifestHashes::kRead).to_json();
  };
  const tq::Json written = read(text);
  if (read(written.dump()) != written) __builtin_trap();
}

void resolve_shapes(const tq::Json& config) {
  if (!config.is_object()) return;
  for (const char* name : {"model.layers.0.self_attn.o_proj.weight", "experts.3.down_proj.weight",
                           "vision_tower.fc2.weight", "q_b_proj", "layers.9.eh_proj.weight"}) {
    const auto width = tq::reference_input_width(config, name, 256, 128);
    if (width && (*width <= 128 || *width > 256)) __builtin_trap();
  }
  const auto experts = tq::reference_expert_count(config);
  if (experts && *experts <= 0) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tq::set_log_level(tq::LogLevel::kQuiet);
  const std::string text(reinterpret_cast<const char*>(data), size);
  tq::is_native_manifest(text);
  attempt([&] { read_manifest(text); });
  attempt([&] {
    const tq::Json json = tq::parse_json(text, "config.json");
    attempt([&] { tq::refuse_foreign_quantization(json, "config.json"); });
    attempt([&] { tq::ReferenceConfig::from_json(json, "tq_config.json"); });
    resolve_shapes(json);
    attempt([&] { tq::find_architecture(json).make_spec(json); });
  });
  return 0;
}
