#include "cli/bench_run.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/error.h"
#include "engine/evaluate.h"

namespace tq {
namespace {

// What a case is preceded by, so that it finds pages touched, threads awake and kernels loaded: all
// of a prefill, whose kernels depend on its length, and a few of the tokens of a decode, whose do
// not.
BenchCase warm_up_of(BenchCase what) {
  constexpr int kTokens = 8;
  what.decode = std::min(what.decode, kTokens);
  return what;
}

}  // namespace

const char* BenchCase::name() const {
  if (prefill == 0) return "decode";
  return decode == 0 ? "prefill" : "prefill+decode";
}

int BenchCase::n_generated() const {
  // The last token of a prompt gives the first token of the answer.
  return prefill > 0 ? decode + 1 : decode;
}

std::vector<int32_t> BenchRunner::random_ids(int n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random_() % static_cast<uint64_t>(vocab_));
  }
  return ids;
}

void BenchRunner::add(std::vector<int32_t> prompt, int n_generated) {
  Request request;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = n_generated;
  request.sampling.ignore_eos = true;
  request.on_output = [](const Output& output) {
    if (output.finish == FinishReason::kError) fail(output.error_code, "{}", output.error);
  };
  engine_.add(std::move(request));
}

void BenchRunner::fill(const BenchCase& what) {
  if (what.depth == 0) return;
  for (const auto& ids : before_) add(ids, 1);
  while (engine_.step()) {
  }
}

double BenchRunner::measure(const BenchCase& what) {
  fill(what);
  int64_t n_kept = 0;
  for (int s = 0; s < what.sequences; ++s) {
    std::vector<int32_t> prompt;
    if (what.depth > 0) prompt = before_[static_cast<size_t>(s)];
    const std::vector<int32_t> ids = random_ids(what.n_given());
    prompt.insert(prompt.end(), ids.begin(), ids.end());
    n_kept += engine_.n_reusable(prompt);
    add(std::move(prompt), what.n_generated());
  }
  TQ_CHECK(n_kept >= int64_t{what.depth} * what.sequences,
           "{} tokens are kept for {} sequences of {}", n_kept, what.sequences, what.depth);
  const auto start = std::chrono::steady_clock::now();
  while (engine_.step()) {
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

BenchResult BenchRunner::run(const BenchCase& what, int repetitions,
                             const std::function<void()>& before_run) {
  before_.clear();
  for (int s = 0; what.depth > 0 && s < what.sequences; ++s) {
    before_.push_back(random_ids(what.depth));
  }
  measure(warm_up_of(what));
  BenchResult result{.what = what};
  RunningMean rate;
  for (int i = 0; i < repetitions; ++i) {
    before_run();
    const double n_tokens = static_cast<double>(what.n_tokens() * what.sequences);
    result.rates.push_back(n_tokens / measure(what));
    rate.add(result.rates.back());
  }
  result.mean = rate.mean();
  result.deviation = rate.deviation();
  return result;
}

}  // namespace tq
