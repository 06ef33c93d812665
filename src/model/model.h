// Model: spec and weights on one backend; const after loading but for its scratch, so one thread
// runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "io/checkpoint.h"
#include "kv/kv_cache.h"
#include "model/batch.h"
#include "model/spec.h"

namespace tq {

struct LoadOptions {
  int64_t max_batch_tokens = 512;  // tokens of one forward call; scratch is planned for it
  int64_t max_logit_rows = 0;      // rows of logits of one forward call; 0: max_batch_tokens
  int64_t max_sequences = 64;      // sequences of one forward call
  int64_t max_context = 0;         // longest sequence (sizes block tables); 0: the model's own
  // Called with (bytes done, bytes in all) while weights are prepared; may be empty.
  std::function<void(int64_t, int64_t)> progress;
};

class Model {
 public:
  // Reads config and weights. The checkpoint must outlive the model: weights are used where they
  // are mapped whenever their form allows. Throws kUnsupported for a config it would compute
  // wrongly and kCorrupt/kNotFound for missing or misshapen tensors, by name.
  static std::unique_ptr<Model> load(const Checkpoint& checkpoint, Backend& backend,
                                     const LoadOptions& options);
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual Backend& backend() const = 0;
  virtual const LoadOptions& options() const = 0;
  // Bytes of weights in all, and read per decoded token at batch 1.
  virtual int64_t weight_bytes() const = 0;
  virtual int64_t bytes_per_token() const = 0;
  virtual int64_t n_parameters() const = 0;

  // Runs one step: stores K and V of every token, writes fp32 logits [sum of n_logits, vocab] in
  // batch order. Allocates nothing. Limits of LoadOptions are checked (kInternal).
  virtual void forward(Batch batch, KvCache& kv, std::span<float> logits) = 0;
};

}  // namespace tq
