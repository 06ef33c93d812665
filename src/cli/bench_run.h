// What tq bench measures: prompts, answers or both, after a context that is there already, by one
// or several sequences at once.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "engine/engine.h"

namespace tq {

// Each of `sequences` sequences computes `prefill` tokens of a prompt, then decodes `decode`
// tokens, after `depth` tokens whose keys and values are in the cache. Without a prompt decoding
// begins with one token more that is given.
struct BenchCase {
  int prefill = 0;
  int decode = 0;
  int depth = 0;
  int sequences = 1;

  const char* name() const;  // "prefill", "decode", "prefill+decode"
  int64_t n_tokens() const { return int64_t{prefill} + decode; }  // of one sequence, timed
  // Of one sequence: tokens given besides `depth`, and tokens to generate.
  int n_given() const { return prefill > 0 ? prefill : 1; }
  int n_generated() const;
  int64_t context() const { return int64_t{depth} + n_given() + n_generated(); }
};

struct BenchResult {
  BenchCase what;
  std::vector<double> rates;  // of each repetition: tokens a second of all sequences together
  double mean = 0;
  double deviation = 0;
};

// Runs cases on one engine. Prompts are random ids (equal tokens would flatter caches), the same
// ones in each run of the program.
class BenchRunner {
 public:
  static constexpr uint64_t kSeed = 1;

  BenchRunner(Engine& engine, int64_t vocab) : engine_(engine), vocab_(vocab) {}

  // before_run is called before each repetition. Throws what the engine tells of a failed request.
  BenchResult run(const BenchCase& what, int repetitions, const std::function<void()>& before_run);

 private:
  std::vector<int32_t> random_ids(int n);
  // Puts `depth` tokens of each sequence into the cache; what is there is not computed again.
  void fill(const BenchCase& what);
  // Seconds that one case takes.
  double measure(const BenchCase& what);
  void add(std::vector<int32_t> prompt, int n_generated);

  Engine& engine_;
  int64_t vocab_;
  std::mt19937_64 random_{kSeed};
  std::vector<std::vector<int32_t>> before_;  // the tokens at depth, by sequence
};

}  // namespace tq
