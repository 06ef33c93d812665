// The needle in a haystack: whether a model finds a fact in a long text, by how long the text is
// and how deep the fact lies in it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/evaluate.h"
#include "session/load.h"

namespace tq {

struct NeedleOptions {
  std::vector<int64_t> lengths;  // tokens of the prompt, about
  std::vector<double> depths;    // 0: at the beginning, 1: at the end
  int64_t trials = 1;            // facts at each place, each its own
  uint64_t seed = 1;
  std::string filler;  // the text around; empty: sentences that are made up
  KvFormatId kv_format = default_kv_format();
  std::function<bool()> stops;  // null: never; true ends it: kCancelled
};

struct NeedleCell {
  int64_t length = 0;
  double depth = 0;
  int64_t found = 0;  // trials in which the model would have written the fact, greedily
  int64_t trials = 0;
  double log_probability = 0;  // of the fact, the mean over trials, in nats
  int64_t prompt_tokens = 0;   // of the last trial
};

// Asks at every length and depth, as a plain text that ends where the fact is due. The model was
// loaded for logits of all tokens, with room for the longest. Throws kInvalidArgument for a length
// that is too short for fact and question.
std::vector<NeedleCell> find_needles(const LoadedModel& loaded, const NeedleOptions& options,
                                     const EvalProgress& told);

// The prompt and what must follow it. n_filler: sentences around the fact.
struct NeedlePrompt {
  std::string text;
  std::string answer;
};
NeedlePrompt needle_prompt(const std::vector<std::string>& sentences, size_t n_filler, double depth,
                           uint64_t seed);

// Sentences that the text is made of: those of a given text, or made up, as many as asked for.
std::vector<std::string> needle_sentences(const std::string& filler, size_t n, uint64_t seed);

}  // namespace tq
