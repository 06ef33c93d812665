// Operators: what a decoder is made of, as a backend computes it. Every operator takes one Args
// struct of plain data (kernels/ops/); pointers are device pointers, matrices are dense row-major,
// activations fp32. Operators run in call order and allocate nothing. One thread calls them; see
// docs/architecture.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/experts.h"
#include "kernels/ops/kv.h"
#include "kernels/ops/list.h"
#include "kernels/ops/norm.h"
#include "kernels/ops/product.h"
#include "kernels/ops/recurrent.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rows.h"
#include "kernels/ops/sample.h"

namespace tq {

class Operators {
 public:
  virtual ~Operators() = default;
  // Whether activations stay fp32 throughout.
  virtual bool exact() const { return false; }

  // Whether the operators run with weights, or a KV cache, of a format: asked when a model is
  // opened.
  virtual bool has_kernels(FormatId /*format*/) const { return true; }
  virtual bool has_kernels(KvFormatId /*format*/) const { return true; }
  // Likewise, whether attention() reads AttentionArgs::sink_scores.
  virtual bool has_sinks() const { return true; }

  // Scratch that prepare() needs for a batch of `tokens` rows.
  virtual size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                                  InputForm form) const = 0;
  virtual Activation prepare(const PrepareArgs& args) = 0;

#define TQ_DECLARE(name, Args) virtual void name(const Args& args) = 0;
  TQ_ELEMENTARY_OPERATORS(TQ_DECLARE)
#undef TQ_DECLARE

  // Whether sample() can be called: tokens are chosen where the logits are. Where it cannot, logits
  // are downloaded.
  virtual bool samples() const { return false; }
  virtual void sample(const SampleArgs& args);

  // Compound operators. Here they are run by those above, part by part.
#define TQ_DECLARE(name, Args) virtual void name(const Args& args);
  TQ_COMPOUND_OPERATORS(TQ_DECLARE)
#undef TQ_DECLARE
  virtual void matmul_shared(std::span<const MatmulArgs> products);  // all of one activation
  // Inputs, attention and prepare(next) of the result, which next.x is. What lies between may be
  // left as it was, but for the cache.
  virtual Activation attention_prepared(const AttentionInputsArgs& inputs,
                                        const AttentionArgs& args, const PrepareArgs& next);
  virtual Activation attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                                        const PrepareArgs& next);
  // prepare() of the normed rows; args.x is norm.out, which may be written.
  virtual Activation prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args);
  // prepare() of rows that are `stride` elements apart; `gathered` has room for them side by side.
  // The rows must stay as they are until the products that read the activation have been called.
  virtual Activation prepare_strided(const PrepareArgs& args, int64_t stride, float* gathered);

  // Calls both, which call operators; those of one do not read or write what the other writes, so
  // that they may run side by side.
  virtual void run_beside(const std::function<void()>& side, const std::function<void()>& main);

  // Scratch that attention() needs for such a call; args.batch holds upper bounds.
  virtual size_t attention_bytes(const AttentionArgs& /*args*/) const { return 0; }
  // Calls `operators`, which calls operators. What has the same key is always the same calls with
  // the same arguments, so that a backend may record them once and replay them after.
  virtual void run_recorded(uint64_t key, const std::function<void()>& operators);
};

}  // namespace tq
