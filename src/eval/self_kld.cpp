#include "eval/self_kld.h"

#include <algorithm>

#include "base/error.h"

namespace tq {
namespace {

bool is_in(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

size_t bucket_of(int64_t place) {
  size_t i = 0;
  while (place > places_of(i).second) ++i;
  return i;
}

// Runs ids; the logits of the last of them.
std::span<float> run_prompt(LogitReader& reader, std::span<const int32_t> ids) {
  reader.restart();
  std::span<float> row;
  for (size_t begin = 0; begin < ids.size();) {
    const size_t n = std::min(static_cast<size_t>(reader.max_chunk()), ids.size() - begin);
    const bool is_last = begin + n == ids.size();
    row = reader.next(ids.subspan(begin, n), is_last ? 1 : 0);
    begin += n;
  }
  return row;
}

int32_t best_token(std::span<const float> row, const std::vector<int32_t>& never) {
  int32_t best = -1;
  for (size_t i = 0; i < row.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool is_better = best < 0 || row[i] > row[static_cast<size_t>(best)];
    if (is_better && !is_in(never, id)) best = id;
  }
  return best;
}

}  // namespace

std::pair<int64_t, int64_t> places_of(size_t i) {
  const int64_t last = int64_t{16} << (2 * i);
  return {i == 0 ? 1 : last / 4 + 1, last};
}

SelfKld self_kld(LogitReader& model, LogitReader& reference, bool reference_writes,
                 std::span<const std::vector<int32_t>> prompts, const SelfKldOptions& options,
                 const EvalProgress& told) {
  SelfKld out;
  const auto total = static_cast<int64_t>(prompts.size()) * options.max_tokens;
  int64_t done = 0;
  told(0, total);
  for (size_t p = 0; p < prompts.size(); ++p) {
    std::span<float> q = run_prompt(model, prompts[p]);
    std::span<float> r = run_prompt(reference, prompts[p]);
    bool agrees = true;
    int64_t n_agreed = 0;
    for (int64_t place = 1;; ++place) {
      if (options.stops && options.stops()) fail(ErrorCode::kCancelled, "interrupted");
      const int32_t by_model = best_token(q, options.never);
      const int32_t by_reference = best_token(r, options.never);
      const int32_t token = reference_writes ? by_reference : by_model;
      const double kld = divergence(token, q, r).kld;
      out.kld.add(kld);
      out.same_top1.add(by_model == by_reference ? 1 : 0);
      const size_t bucket = bucket_of(place);
      if (out.by_place.size() <= bucket) out.by_place.resize(bucket + 1);
      out.by_place[bucket].add(kld);
      agrees = agrees && by_model == by_reference;
      if (agrees) ++n_agreed;
      told(++done, total);
      if (place == options.max_tokens || is_in(options.end_ids, token)) break;
      q = model.next({&token, 1}, 1);
      r = reference.next({&token, 1}, 1);
    }
    out.agreed.add(static_cast<double>(n_agreed));
    if (agrees) ++out.whole;
    done = static_cast<int64_t>(p + 1) * options.max_tokens;
    told(done, total);
  }
  return out;
}

}  // namespace tq
