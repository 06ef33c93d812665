// How far a model's predictions are from another's on texts that it writes itself, token by token
// the most probable one: where a model that is wrong once leads itself astray, a given text does
// not show it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/evaluate.h"

namespace tq {

struct SelfKldOptions {
  int64_t max_tokens = 64;       // of each continuation
  std::vector<int32_t> end_ids;  // that end one, as the last token that counts
  std::vector<int32_t> never;    // ids that are not generated (LoadedModel::not_text)
  std::function<bool()> stops;   // null: never; true ends it: kCancelled
};

struct SelfKld {
  RunningMean kld;        // KL(reference || model) at each generated token
  RunningMean same_top1;  // 1 where both rank the same token first
  // Tokens of each continuation before the first that the reference would not have written; the
  // whole length where there is none.
  RunningMean agreed;
  int64_t whole = 0;  // continuations that the reference would have written to their end
  // KLD of tokens by their place: 1 to 16, 17 to 64, 65 to 256, and so on by fours.
  std::vector<RunningMean> by_place;
};

// Continues each prompt (ids, at least one) greedily by `writer`, and compares model and reference
// at each of its tokens. writer: model or reference. Readers have room for the longest prompt and
// max_tokens. Both have the same vocabulary.
SelfKld self_kld(LogitReader& model, LogitReader& reference, bool reference_writes,
                 std::span<const std::vector<int32_t>> prompts, const SelfKldOptions& options,
                 const EvalProgress& told);

// The first place of by_place[i], from 1, and the last one.
std::pair<int64_t, int64_t> places_of(size_t i);

}  // namespace tq
