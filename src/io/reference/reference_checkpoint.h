// Checkpoints of turboquant-vllm ("tq3_native"), in every variant that its versions have written:
// docs/formats.md. Immutable after opening (views keep converted scales, once), thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/json.h"
#include "io/checkpoint.h"

namespace tq {

// tq_config.json, or the quantization_config of a config.json.
struct ReferenceConfig {
  int group = 128;
  std::map<std::string, int64_t, std::less<>> in_widths;  // orig_in_dims: unpadded row widths
  std::string original;  // the checkpoint it was made from, fit to be shown; empty if unknown

  // Throws kCorrupt / kUnsupported, naming the key. Bits are not read: mixed files exist, and the
  // planes' sizes tell them.
  static ReferenceConfig from_json(const Json& json, const std::string& name);
};

// Throws kNotFound, kCorrupt or kUnsupported, naming the tensor.
std::unique_ptr<Checkpoint> open_reference_checkpoint(const fs::path& folder,
                                                      ReferenceConfig reference,
                                                      const OpenOptions& options);

}  // namespace tq
