// Sampler: one next token from a row of logits. Holds one sequence's random state and the tokens it
// has seen; owned by the sequence; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tq {

struct SamplingParams {
  float temperature = 0.0f;         // 0: greedy
  int top_k = 0;                    // 0: off
  float top_p = 1.0f;               // in (0, 1]
  float min_p = 0.0f;               // in [0, 1)
  float repetition_penalty = 1.0f;  // divides positive, multiplies negative logits of seen tokens
  float presence_penalty = 0.0f;    // subtracted once from generated tokens
  float frequency_penalty = 0.0f;   // subtracted per occurrence among generated tokens
  uint64_t seed = 0;
  std::map<int32_t, float> logit_bias;  // added before anything else
  int max_tokens = 256;
  std::vector<std::string> stop;  // texts that end the generation, not part of the output
  std::vector<int32_t> stop_ids;  // ids that end it, likewise
  bool ignore_eos = false;

  // True when the token is the one with the largest logit.
  bool is_greedy() const {
    return temperature == 0 && repetition_penalty == 1 && presence_penalty == 0 &&
           frequency_penalty == 0 && logit_bias.empty();
  }
  // Throws kInvalidArgument naming the parameter and its range.
  void validate() const;
};

// The order, as in Hugging Face's generate():
//   logit_bias, repetition, presence and frequency penalties; then, if temperature is 0, the
//   highest logit (the lowest id of equal ones); else temperature, top_k, top_p (of the mass that
//   top_k left), min_p (relative to the most probable token), and one draw.
// The same seed, parameters and logits give the same tokens on every platform.
class Sampler {
 public:
  // Only ids below n_tokens are ever chosen: rows of the head beyond the tokenizer's vocabulary are
  // padding. Throws what validate() throws, and kInvalidArgument for a bias outside n_tokens.
  Sampler(const SamplingParams& params, int64_t n_tokens);

  // Tells of tokens of the prompt: the repetition penalty counts them as seen.
  void see(std::span<const int32_t> prompt);
  // Chooses a token and counts it as generated. logits: [at least n_tokens], changed in place.
  // Throws kInternal when a logit is NaN or +infinity, or none is finite: a broken model, not a
  // choice.
  int32_t sample(std::span<float> logits);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };

  void apply_bias_and_penalties(std::span<float> logits) const;
  int32_t draw(std::span<const float> logits, float highest);
  // The order of candidates: true when a comes before b.
  static bool better(const Candidate& a, const Candidate& b);
  // The candidates: the best n of those that are not below `lowest`, best first.
  void keep_best(std::span<const float> logits, float lowest, size_t n);
  // Makes candidates [begin, end) the best of [begin, all), best first.
  void order(size_t begin, size_t end);
  // Cuts the candidates, of which the first n_ordered are in order, down to the top_p mass.
  void keep_top_p(float highest, size_t n_ordered);
  double weight(float logit, float highest) const;
  double uniform();  // in [0, 1)

  SamplingParams params_;
  int64_t n_tokens_;
  std::mt19937_64 random_;
  std::unordered_map<int32_t, int> seen_;  // times generated; 0: only in the prompt
  std::vector<Candidate> candidates_;      // scratch
};

}  // namespace tq
