// Model: spec and weights on one backend; const after loading but for its scratch, so one thread
// runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "io/checkpoint.h"
#include "kv/kv_cache.h"
#include "model/batch.h"
#include "model/spec.h"

namespace tq {

// Rows of a checkpoint's tensor where operators read them as a matrix.
struct PlacedMatrix {
  const TensorEntry& tensor;
  int64_t first_row;  // over all experts
  const WeightView& weight;
};

struct LoadOptions {
  int64_t max_batch_tokens = 512;  // tokens of one forward call; scratch is planned for it
  int64_t max_logit_rows = 0;      // rows of logits of one forward call; 0: max_batch_tokens
  int64_t max_sequences = 64;      // sequences of one forward call
  int64_t max_context = 0;         // longest sequence (sizes block tables); 0: the model's own
  KvOptions kv;                    // of the cache that forward() is called with
  // Compression at load: the name of the format to bring a matrix into ("tq3", "bf16", ...), or
  // empty to keep what is stored. Without it nothing is compressed: what kernels cannot read in
  // place (GGUF blocks) becomes f16, or stays f32 or bf16 if it was.
  std::function<std::string(const TensorEntry&)> format_for;
  EncodeOptions encode;  // how format_for's formats are encoded
  int threads = 0;       // for preparing weights; 0: every CPU the process may use
  // Called with (bytes done, bytes in all) while weights are prepared; may be empty.
  std::function<void(int64_t, int64_t)> progress;
  // Told of every matrix that products are made with; may be empty.
  std::function<void(const PlacedMatrix&)> placed;
};

// What a loaded model takes of its backend's memory, and what a KV cache for it must be.
struct ModelSize {
  int64_t weight_bytes = 0;   // on the host with what is mapped
  int64_t mapped_bytes = 0;   // of these: read in place from files, 0 on a device
  int64_t scratch_bytes = 0;  // of forward calls, or of compressing weights before them
  KvLayout kv;
};

// How next_tokens() chooses.
struct TokenChoice {
  int64_t n_tokens;  // ids from here on are never chosen
  std::span<const SampleRow> rows;
  std::span<const TokenValue> lists;
  // The rows' masks (SampleArgs::masks) one after the other, mask_words(n_tokens) each; empty: no
  // row has one. Called once, while the device runs the step, so that making them takes no time of
  // its own.
  std::function<std::span<const uint32_t>()> masks = {};
};

// Sees values inside forward passes, for debugging and per-layer dumps: "embed" (layer -1), then
// "attention" and "ffn" of each layer (the residual stream [tokens, hidden] after the attention and
// at the layer's end), and "norm" (layer -1, the final norm of the rows whose logits are wanted).
using Observer =
    std::function<void(std::string_view stage, int64_t layer, std::span<const float> values)>;

class Model {
 public:
  // Reads config and weights. The checkpoint must outlive the model: weights are used where they
  // are mapped whenever their form allows. Throws kUnsupported for a config it would compute
  // wrongly and kCorrupt/kNotFound for missing or misshapen tensors, by name.
  static std::unique_ptr<Model> load(const Checkpoint& checkpoint, Backend& backend,
                                     const LoadOptions& options);
  // What load() with these options would take; reads no weights. Throws what load() throws but for
  // values that are damaged.
  static ModelSize measure(const Checkpoint& checkpoint, const Backend& backend,
                           const LoadOptions& options);
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual Backend& backend() const = 0;
  virtual const LoadOptions& options() const = 0;
  // What a KV cache for this model must be.
  virtual KvLayout kv_layout() const { return {spec().kv_layers()}; }
  // Bytes of weights in all, and read per decoded token at batch 1.
  virtual int64_t weight_bytes() const = 0;
  virtual int64_t bytes_per_token() const = 0;
  virtual int64_t n_parameters() const = 0;

  // Runs one step: stores K and V of every token, writes fp32 logits [sum of n_logits, vocab] in
  // batch order. Allocates nothing. Limits of LoadOptions are checked (kInternal).
  // Throws kInvalidArgument for token ids outside the vocabulary.
  virtual void forward(Batch batch, KvCache& kv, std::span<float> logits) = 0;

  // Where chooses_tokens(): as forward(), but of each row of logits only one token comes back, as
  // Backend::sample chooses it.
  virtual bool chooses_tokens() const { return false; }
  // The most TokenValues that the rows of a step may have.
  virtual int64_t max_token_values() const { return 0; }
  virtual void next_tokens(Batch batch, KvCache& kv, const TokenChoice& choice,
                           std::span<int32_t> tokens);
  // Ids that next_tokens() never chooses.
  virtual void exclude_tokens(std::span<const int32_t> ids);

  // An empty observer switches observation off.
  virtual void set_observer(Observer observer) = 0;
};

}  // namespace tq
