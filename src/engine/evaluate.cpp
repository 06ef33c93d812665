#include "engine/evaluate.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/file_faults.h"
#include "base/math.h"
#include "engine/model_limits.h"

namespace tq {
namespace {

int64_t checked_length(const Model& model, int64_t max_tokens) {
  if (max_tokens > context_limit(model)) {
    fail(ErrorCode::kInvalidArgument, "{} tokens are more than the context of {}", max_tokens,
         context_limit(model));
  }
  return max_tokens;
}

// Scored tokens that were run together, and for each reader the logits that predict them.
struct ScoredChunk {
  std::span<const int32_t> tokens;
  std::vector<std::span<float>> logits;  // of each reader: [tokens, vocab]

  std::span<const float> row(size_t reader, int64_t i) const {
    const size_t vocab = logits[reader].size() / tokens.size();
    return logits[reader].subspan(static_cast<size_t>(i) * vocab, vocab);
  }
};

// Runs the text through all readers side by side, and visits its scored tokens in order.
template <typename Visit>
void for_each_chunk(std::span<LogitReader* const> readers, const EvalText& text,
                    const EvalProgress& progress, const Visit& visit) {
  const auto n_prefix = static_cast<int64_t>(text.prefix.size());
  int64_t max_chunk = readers.front()->max_chunk();
  for (const LogitReader* reader : readers) max_chunk = std::min(max_chunk, reader->max_chunk());
  int64_t n_scored = 0;
  int64_t n_all = 0;
  for (const EvalWindow& window : text.windows) n_all += window.end - window.first_scored;
  if (progress) progress(0, n_all);

  std::vector<int32_t> ids;
  ScoredChunk scored;
  scored.logits.resize(readers.size());
  for (const EvalWindow& window : text.windows) {
    ids.assign(text.prefix.begin(), text.prefix.end());
    ids.insert(ids.end(), text.ids.begin() + window.begin, text.ids.begin() + window.end);
    for (LogitReader* reader : readers) reader->restart();
    // Row i predicts ids[i + 1], so the last token need not run.
    const auto n_run = static_cast<int64_t>(ids.size()) - 1;
    const int64_t first_row = n_prefix + window.first_scored - window.begin - 1;
    for (int64_t begin = 0; begin < n_run; begin += max_chunk) {
      const int64_t end = std::min(begin + max_chunk, n_run);
      const int64_t n_rows = std::clamp<int64_t>(end - first_row, 0, end - begin);
      const auto all = std::span<const int32_t>(ids);
      const auto chunk = all.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      for (size_t r = 0; r < readers.size(); ++r) {
        scored.logits[r] = readers[r]->next(chunk, n_rows);
      }
      scored.tokens =
          all.subspan(static_cast<size_t>(end - n_rows + 1), static_cast<size_t>(n_rows));
      if (n_rows > 0) visit(scored);
      n_scored += n_rows;
      if (progress) progress(n_scored, n_all);
    }
  }
}

// The same with measure(chunk, i, place) for token i of a chunk, the place-th of the text, on all
// threads, and add() for what that gives, in the order of the text.
template <typename Measured, typename Measure, typename Add>
void measure_tokens(std::span<LogitReader* const> readers, const EvalText& text,
                    const EvalProgress& progress, const Measure& measure, const Add& add) {
  ThreadPool pool(readers.front()->host_threads());
  std::vector<Measured> measured;
  int64_t n_before = 0;
  for_each_chunk(readers, text, progress, [&](const ScoredChunk& chunk) {
    measured.resize(chunk.tokens.size());
    auto part = [&](int64_t begin, int64_t end, int /*thread*/) {
      for (int64_t i = begin; i < end; ++i) {
        measured[static_cast<size_t>(i)] = measure(chunk, i, n_before + i);
      }
    };
    const auto n = static_cast<int64_t>(measured.size());
    pool.parallel_for(n, 1, part);
    for (const Measured& one : measured) add(one);
    n_before += n;
  });
}

// p log(p / q) - p + q: over all tokens the same sum as that of p log(p / q), as p and q both add
// up to 1, but no term is negative, and what rounds p and q away is not left over where they hardly
// differ.
double divergence_term(double log_p, double log_q) {
  const double p = std::exp(static_cast<float>(log_p));
  if (p == 0) return std::exp(static_cast<float>(log_q));
  const double d = log_p - log_q;
  if (std::abs(d) < 0.1) {
    return p * d * d * (1. / 2 - d * (1. / 6 - d * (1. / 24 - d * (1. / 120 - d / 720))));
  }
  return p * d - p + std::exp(static_cast<float>(log_q));
}

struct MeasuredToken {
  Divergence divergence;
  bool same_top1 = false;
};

double nll_of(int32_t token, std::span<const float> logits) {
  return checked_log_sum_exp(logits) - logits[static_cast<size_t>(token)];
}

}  // namespace

LogitReader::LogitReader(Model& model, KvFormatId kv_format, int64_t max_tokens)
    : model_(model),
      max_chunk_(logit_row_limit(model)),
      layout_(model.kv_layout()),
      n_pages_(layout_.pages_of(1, ceil_div(checked_length(model, max_tokens), kKvBlockTokens))),
      pages_(layout_.windows, n_pages_, layout_.near_pages(), layout_.states()),
      kv_(model.backend(), layout_, kv_format, n_pages_),
      logits_(model.backend().allocate_host(static_cast<size_t>(max_chunk_ * model.spec().vocab) *
                                            sizeof(float))) {}

void LogitReader::restart() {
  pages_.release(table_);
  n_cached_ = 0;
}

std::span<float> LogitReader::next(std::span<const int32_t> ids, int64_t n_logits) {
  const auto n = static_cast<int64_t>(ids.size());
  TQ_CHECK(n <= max_chunk_ && n_logits <= n, "{} tokens, {} logits", n, n_logits);
  pages_.slide(table_, n_cached_);
  const bool grown = pages_.grow(table_, n_cached_ + n);
  TQ_CHECK(grown, "{} tokens in {} pages", n_cached_ + n, pages_.n_pages());
  const BatchSequence sequence{
      .token_ids = ids, .first_position = n_cached_, .pages = &table_, .n_logits = n_logits};
  const auto logits =
      logits_.as<float>().first(static_cast<size_t>(n_logits * model_.spec().vocab));
  model_.forward({&sequence, 1}, kv_, logits);
  check_file_faults();
  n_cached_ += n;
  return logits;
}

std::vector<EvalWindow> eval_windows(int64_t n_tokens, int64_t length, int64_t stride,
                                     bool has_prefix) {
  if (stride < 1 || stride > length) {
    fail(ErrorCode::kInvalidArgument, "a stride of {} tokens: it must be 1 to {}", stride, length);
  }
  std::vector<EvalWindow> windows;
  for (int64_t begin = 0, scored = 0; scored < n_tokens; begin += stride) {
    const int64_t end = std::min(begin + length, n_tokens);
    const int64_t first = std::max(scored, begin + (has_prefix ? 0 : 1));
    if (first < end) windows.push_back({begin, end, first});
    scored = end;
  }
  return windows;
}

double log_sum_exp(std::span<const float> row) {
  const float highest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float logit : row) sum += std::exp(logit - highest);
  return static_cast<double>(highest) + std::log(sum);
}

double checked_log_sum_exp(std::span<const float> row) {
  const double value = log_sum_exp(row);
  if (!std::isfinite(value)) {
    fail(ErrorCode::kInternal, "the model gave logits that are not finite: weights are broken");
  }
  return value;
}

void KldResult::add(const Divergence& one, bool is_same_top1) {
  kld.add(one.kld);
  nll.add(one.nll);
  reference_nll.add(one.reference_nll);
  same_top1.add(is_same_top1 ? 1 : 0);
}

int64_t argmax(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

void RunningMean::add(double x) {
  ++n_;
  const double delta = x - mean_;
  mean_ += delta / static_cast<double>(n_);
  m2_ += delta * (x - mean_);
}

double RunningMean::deviation() const {
  return n_ < 2 ? 0 : std::sqrt(m2_ / static_cast<double>(n_ - 1));
}

double RunningMean::standard_error() const {
  return n_ < 2 ? 0 : deviation() / std::sqrt(static_cast<double>(n_));
}

void visit_scored(LogitReader& model, const EvalText& text, const EvalProgress& progress,
                  const ScoredVisitor& visit) {
  LogitReader* const readers[] = {&model};
  for_each_chunk(readers, text, progress, [&](const ScoredChunk& chunk) {
    for (int64_t i = 0; i < static_cast<int64_t>(chunk.tokens.size()); ++i) {
      checked_log_sum_exp(chunk.row(0, i));
      visit(chunk.tokens[static_cast<size_t>(i)], chunk.row(0, i));
    }
  });
}

Divergence divergence(int32_t token, std::span<const float> logits,
                      std::span<const float> reference) {
  const double q_sum = checked_log_sum_exp(logits);
  const double p_sum = checked_log_sum_exp(reference);
  double kld = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    kld += divergence_term(reference[i] - p_sum, logits[i] - q_sum);
  }
  const auto at = static_cast<size_t>(token);
  return {.kld = kld, .nll = q_sum - logits[at], .reference_nll = p_sum - reference[at]};
}

RunningMean evaluate_nll(LogitReader& model, const EvalText& text, const EvalProgress& progress) {
  RunningMean nll;
  LogitReader* const readers[] = {&model};
  measure_tokens<double>(
      readers, text, progress,
      [](const ScoredChunk& chunk, int64_t i, int64_t /*place*/) {
        return nll_of(chunk.tokens[static_cast<size_t>(i)], chunk.row(0, i));
      },
      [&](double one) { nll.add(one); });
  return nll;
}

KldResult evaluate_kld(LogitReader& model, LogitReader& reference, const EvalText& text,
                       const EvalProgress& progress) {
  KldResult result;
  LogitReader* const readers[] = {&model, &reference};
  measure_tokens<MeasuredToken>(
      readers, text, progress,
      [](const ScoredChunk& chunk, int64_t i, int64_t /*place*/) {
        const std::span<const float> q = chunk.row(0, i), p = chunk.row(1, i);
        return MeasuredToken{divergence(chunk.tokens[static_cast<size_t>(i)], q, p),
                             argmax(q) == argmax(p)};
      },
      [&](const MeasuredToken& one) { result.add(one.divergence, one.same_top1); });
  return result;
}

KldResult evaluate_kld(LogitReader& model, const ReferenceRowAt& reference, const EvalText& text,
                       const EvalProgress& progress) {
  KldResult result;
  LogitReader* const readers[] = {&model};
  measure_tokens<MeasuredToken>(
      readers, text, progress,
      [&](const ScoredChunk& chunk, int64_t i, int64_t place) {
        const std::span<const float> logits = chunk.row(0, i);
        const ReferenceRow row = reference(place);
        Divergence one = divergence(chunk.tokens[static_cast<size_t>(i)], logits, row.log_p);
        one.reference_nll = row.nll;  // exactly, which rounded log p is not
        return MeasuredToken{one, argmax(logits) == row.best};
      },
      [&](const MeasuredToken& one) { result.add(one.divergence, one.same_top1); });
  return result;
}

}  // namespace tq
