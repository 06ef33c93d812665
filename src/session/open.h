// open_model: a model as a user asks for it, opened for use: compressed on the way in if wanted,
// with a context that fits. What a command line, a server or a host program fills in is
// ModelOptions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convert/plan.h"
#include "session/load.h"

namespace tq {

// A context as long as memory allows.
constexpr int64_t kLongestContext = -1;
constexpr int64_t kMostContext = int64_t{1} << 24;  // tokens that can be asked for

struct ModelOptions {
  std::string path;
  std::string format;  // empty: as stored, auto for synthetic models
  std::string preset;  // instead of a format
  bool exact = false;
  std::string device = "auto";
  uint64_t gpu_memory = 0;       // bytes at most; 0: what is free
  std::string kernels = "auto";  // of the GPU
  bool batch_invariant = false;
  int threads = 0;
  int64_t ctx = 0;                      // tokens; 0: what the command needs
  std::string kv_format = "auto";       // or a name of the list (format/kv_formats.h)
  int64_t kv_sink = KvOptions{}.sinks;  // of a compressed format: tokens that stay 16-bit,
  int64_t kv_tail = KvOptions{}.tail;
  int64_t kv_skip_layers = KvOptions{}.skip_layers;  // and layers
  int64_t batch = 512;
  std::vector<std::string> ignore_config;  // fields of the config

  // default_kv_format() unless chosen.
  KvFormatId kv() const;
  KvOptions kv_options() const;
  // The same for another model, whose weights stay as they are stored.
  ModelOptions as_stored(const std::string& other) const;
  // That as what others are compared with: with the KV cache that there is without options for it.
  ModelOptions as_reference(const std::string& other) const;
};

// What the caller needs beyond the options.
struct ModelNeeds {
  int64_t max_sequences = 1;
  int64_t default_ctx = 4096;           // where --ctx is 0; at most what the model was trained for
  bool logits_of_all = false;           // of every token of a forward call, not only of the last
  bool as_stored = false;               // synthetic models too, which are compressed otherwise
  bool text = false;                    // a tokenizer that cannot be used is an error
  bool shared_pages = false;            // of the KV cache: LoadModelOptions
  const FormatPlan* formats = nullptr;  // compress at load by this instead of the options' format
};

// Opens and loads the model. progress: bytes of weights, while they are loaded. What is chosen and
// what is ignored is logged (base/log.h). Throws what open_checkpoint and load_model throw.
LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const std::function<void(int64_t done, int64_t total)>& progress = {});

// LoadOptions::format_for as a plan of tq convert has it.
std::function<std::string(const TensorEntry&)> formats_at_load(const Checkpoint& checkpoint,
                                                               const ConvertPlan& plan);

}  // namespace tq
