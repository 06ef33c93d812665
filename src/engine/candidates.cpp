#include "engine/candidates.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/file_faults.h"
#include "base/math.h"
#include "engine/evaluate.h"
#include "engine/model_limits.h"

namespace tq {
namespace {

// Adds the token that the row predicts.
void add_token(CandidateScore& score, int32_t token, std::span<const float> row) {
  score.log_probability += row[static_cast<size_t>(token)] - checked_log_sum_exp(row);
  score.is_greedy = score.is_greedy && argmax(row) == token;
}

}  // namespace

// A continuation that has more than one token: its first n - 1 are run behind the context.
struct CandidateScorer::Branch {
  size_t index;
  std::span<const int32_t> ids;
  PageTable table;
  int64_t n_run() const { return static_cast<int64_t>(ids.size()) - 1; }
};

// Room for the context and one branch, whose first page is a copy of the context's last; more run
// at a time where it is enough for them.
CandidateScorer::CandidateScorer(Model& model, KvFormatId kv_format)
    : model_(model),
      layout_(model.kv_layout()),
      n_pages_(layout_.pages_of(sequence_limit(model.options()) + 1,
                                ceil_div(context_limit(model), kKvBlockTokens) + 1)),
      pages_(layout_.windows, n_pages_, layout_.near_pages(), layout_.states()),
      kv_(model.backend(), layout_, kv_format, n_pages_),
      logits_(model.backend().allocate_host(
          static_cast<size_t>(logit_row_limit(model) * model.spec().vocab) * sizeof(float))) {
  pages_.adopt_with_tail_only();  // no score depends on which questions were asked before
}

std::span<const float> CandidateScorer::run_context(std::span<const int32_t> context,
                                                    PageTable& table) {
  const auto n = static_cast<int64_t>(context.size());
  const int64_t chunk = model_.options().max_batch_tokens;
  const auto vocab = static_cast<size_t>(model_.spec().vocab);
  for (int64_t begin = pages_.adopt(table, context); begin < n;) {
    const int64_t end = std::min(begin + chunk, n);
    pages_.slide(table, begin);
    const bool grown = pages_.grow(table, end);
    TQ_CHECK(grown, "{} tokens", end);
    const BatchSequence sequence{
        .token_ids = context.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
        .first_position = begin,
        .pages = &table,
        .n_logits = end == n ? 1 : 0};
    model_.forward({&sequence, 1}, kv_, logits_.as<float>().first(end == n ? vocab : 0));
    check_file_faults();
    // Before slide() gives near pages back: others find only those that they were told of.
    pages_.publish(table, context.first(static_cast<size_t>(end)));
    begin = end;
  }
  return logits_.as<float>().first(vocab);
}

void CandidateScorer::run_branches(std::span<Branch> branches, int64_t position,
                                   std::vector<CandidateScore>& scores) {
  const int64_t rows = logit_row_limit(model_);
  const auto vocab = static_cast<size_t>(model_.spec().vocab);
  // Long ones in several passes; each pass runs as much of each as the rows allow.
  std::vector<int64_t> done(branches.size(), 0);
  while (true) {
    std::vector<BatchSequence> batch;
    std::vector<size_t> which;
    int64_t left = rows;
    for (size_t b = 0; b < branches.size() && left > 0; ++b) {
      const int64_t n = std::min(branches[b].n_run() - done[b], left);
      if (n == 0) continue;
      pages_.slide(branches[b].table, position + done[b]);
      const bool grown = pages_.grow(branches[b].table, position + done[b] + n);
      TQ_CHECK(grown, "{} tokens", position + done[b] + n);
      batch.push_back({.token_ids = branches[b].ids.subspan(static_cast<size_t>(done[b]),
                                                            static_cast<size_t>(n)),
                       .first_position = position + done[b],
                       .pages = &branches[b].table,
                       .n_logits = n});
      which.push_back(b);
      left -= n;
    }
    if (batch.empty()) return;
    const auto logits = logits_.as<float>().first(static_cast<size_t>(rows - left) * vocab);
    model_.forward(batch, kv_, logits);
    check_file_faults();
    size_t row = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      Branch& branch = branches[which[i]];
      for (int64_t t = 0; t < batch[i].n_logits; ++t, ++row) {
        const auto next = static_cast<size_t>(done[which[i]] + t + 1);
        add_token(scores[branch.index], branch.ids[next], logits.subspan(row * vocab, vocab));
      }
      done[which[i]] += batch[i].n_logits;
    }
  }
}

std::vector<CandidateScore> CandidateScorer::score(
    std::span<const int32_t> context, std::span<const std::vector<int32_t>> continuations) {
  size_t longest = 0;
  for (const auto& ids : continuations) {
    TQ_CHECK(!ids.empty(), "an empty continuation");
    longest = std::max(longest, ids.size());
  }
  TQ_CHECK(!context.empty(), "an empty context");
  if (static_cast<int64_t>(context.size() + longest) > context_limit(model_)) {
    fail(ErrorCode::kInvalidArgument, "{} tokens are more than the context of {}",
         context.size() + longest, context_limit(model_));
  }
  PageTable table;
  const std::span<const float> first = run_context(context, table);
  std::vector<CandidateScore> scores(continuations.size(), {.is_greedy = true});
  for (size_t i = 0; i < continuations.size(); ++i) {
    add_token(scores[i], continuations[i][0], first);
  }
  const auto position = static_cast<int64_t>(context.size());
  const auto at_a_time = static_cast<size_t>(sequence_limit(model_.options()));
  const PageCopy copy = [&](size_t group, PageId from, PageId to) {
    kv_.copy_page(static_cast<int64_t>(group), from, to);
  };
  // Of group 0, beside those of the context; in the others a sequence has no more.
  const int64_t n_free = pages_.n_available();
  int64_t n_wanted = 0;
  std::vector<Branch> branches;
  const auto run = [&] {
    run_branches(branches, position, scores);
    for (Branch& branch : branches) pages_.release(branch.table);
    branches.clear();
    n_wanted = 0;
  };
  for (size_t i = 0; i < continuations.size(); ++i) {
    if (continuations[i].size() < 2) continue;
    const int64_t end = position + static_cast<int64_t>(continuations[i].size()) - 1;
    const int64_t n_more = ceil_div(end, kKvBlockTokens) - position / kKvBlockTokens;
    if (branches.size() == at_a_time || n_wanted + n_more > n_free) run();
    n_wanted += n_more;
    auto fork = pages_.fork(table, position, copy);
    TQ_CHECK(fork.has_value(), "no pages for {} continuations", branches.size() + 1);
    branches.push_back({i, continuations[i], std::move(*fork)});
  }
  run();
  pages_.retire(table, context);
  return scores;
}

}  // namespace tq
