// Logits of known texts and what is computed from them: perplexity, and how far one model's
// predictions are from another's. Sums in double. One thread calls; what is computed from a row is
// computed on as many threads as the model's, and added up in the order of the text.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kv/kv_cache.h"
#include "kv/pages.h"
#include "model/model.h"
#include "tensor/buffer.h"

namespace tq {

// Runs one sequence through a model and hands out the logits of its tokens.
class LogitReader {
 public:
  // Room for max_tokens tokens. The model is borrowed. Throws kInvalidArgument when its context is
  // shorter.
  LogitReader(Model& model, KvFormatId kv_format, int64_t max_tokens);

  // Tokens one next() takes at most.
  int64_t max_chunk() const { return max_chunk_; }
  // Threads of the host that may work on logits between two next().
  int host_threads() const { return model_.backend().host_threads(); }
  // Forgets the sequence.
  void restart();
  // Runs the next tokens; returns the logits of the last n_logits of them: [n_logits, vocab], valid
  // until the next call. Throws kInvalidArgument for ids outside the vocabulary.
  std::span<float> next(std::span<const int32_t> ids, int64_t n_logits);

 private:
  Model& model_;
  int64_t max_chunk_;
  KvLayout layout_;
  std::vector<int64_t> n_pages_;  // of each group
  Pages pages_;
  KvCache kv_;
  PageTable table_;
  int64_t n_cached_ = 0;
  Buffer logits_;
};

// The part of a text that is run at once: tokens [begin, end), of which [first_scored, end) count.
struct EvalWindow {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_scored = 0;
};

// Windows of `length` tokens, `stride` apart, that score every token once, as late in its window as
// possible (the strided perplexity of Hugging Face's documentation). With stride == length they do
// not overlap. has_prefix: a BOS token stands before every window, so that its first token can be
// predicted too. Throws kInvalidArgument unless 1 <= stride <= length.
std::vector<EvalWindow> eval_windows(int64_t n_tokens, int64_t length, int64_t stride,
                                     bool has_prefix);

// log(sum(exp(row))).
double log_sum_exp(std::span<const float> row);
// The same. Throws kInternal when it is not finite.
double checked_log_sum_exp(std::span<const float> row);
// Index of the highest logit, the lowest of equal ones.
int64_t argmax(std::span<const float> row);

// Mean and its standard error of a series of numbers.
class RunningMean {
 public:
  void add(double x);  // Welford's update
  int64_t n() const { return n_; }
  double mean() const { return mean_; }
  double deviation() const;       // standard deviation of one, 0 for fewer than two
  double standard_error() const;  // of the mean

 private:
  int64_t n_ = 0;
  double mean_ = 0;
  double m2_ = 0;
};

struct EvalText {
  std::span<const int32_t> ids;
  std::span<const int32_t> prefix;  // runs before every window: BOS, or empty
  std::vector<EvalWindow> windows;
};

// One scored token: KL(reference || model), and -log p of the token by both.
struct Divergence {
  double kld = 0;
  double nll = 0;
  double reference_nll = 0;
};

struct KldResult {
  RunningMean nll;            // of the model
  RunningMean reference_nll;  // of the reference
  RunningMean kld;            // KL(reference || model) a token
  RunningMean same_top1;      // 1 where both rank the same token first

  void add(const Divergence& one, bool is_same_top1);
};

// Called with (done, in all): tokens, unless it is said of what.
using EvalProgress = std::function<void(int64_t, int64_t)>;

// Called with a scored token and the logits that predict it, [vocab], which are finite.
using ScoredVisitor = std::function<void(int32_t, std::span<const float>)>;

// Runs the text and visits every scored token in order. Throws kInternal when a logit is not
// finite.
void visit_scored(LogitReader& model, const EvalText& text, const EvalProgress& progress,
                  const ScoredVisitor& visit);

// By the logits of both, of which a constant may be missing. Throws kInternal when one is not
// finite.
Divergence divergence(int32_t token, std::span<const float> logits,
                      std::span<const float> reference);

// Negative log likelihood of every scored token. Throws kInternal when a logit is not finite.
RunningMean evaluate_nll(LogitReader& model, const EvalText& text, const EvalProgress& progress);
// Both models over the same text; their vocabularies must have the same size.
KldResult evaluate_kld(LogitReader& model, LogitReader& reference, const EvalText& text,
                       const EvalProgress& progress);

// What is known of a reference's prediction of one scored token: log p of every token but for a
// constant.
struct ReferenceRow {
  int32_t token = 0;  // that stood in the text
  int32_t best = 0;   // the most probable one
  double nll = 0;     // of `token`, exactly
  std::span<const float> log_p;
};
// Of the i-th scored token. Called on several threads; valid until the thread calls again.
using ReferenceRowAt = std::function<ReferenceRow(int64_t i)>;
KldResult evaluate_kld(LogitReader& model, const ReferenceRowAt& reference, const EvalText& text,
                       const EvalProgress& progress);

}  // namespace tq
