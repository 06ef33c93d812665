// Ragged batches of sequences with states, and the gated delta rule by its definition in double:
// for tests of kernels on any device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "kernels/ops/recurrent.h"

namespace tq::fixtures {

// A batch of sequences, {tokens before the step, tokens in it}, whose states are in slots out of
// order, filled with random numbers also where a sequence begins.
class RaggedStates {
 public:
  RaggedStates(const std::vector<std::pair<int32_t, int32_t>>& sequences, int64_t floats)
      : floats_(floats) {
    const auto n = static_cast<int32_t>(sequences.size());
    for (int32_t s = 0; s < n; ++s) {
      slots_.push_back((s * 2 + 1) % (2 * n));
      q_begin_.push_back(q_begin_.back() + sequences[static_cast<size_t>(s)].second);
      kv_len_.push_back(sequences[static_cast<size_t>(s)].first +
                        sequences[static_cast<size_t>(s)].second);
    }
    memory_ = random(2 * n * floats, 90, 0.3f);
  }

  static std::vector<float> random(int64_t n, uint32_t seed, float sigma = 1) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, sigma);
    std::vector<float> out(static_cast<size_t>(n));
    for (float& x : out) x = normal(generator);
    return out;
  }

  RaggedBatch batch() const {
    return {.n_seqs = n_seqs(),
            .q_begin = q_begin_.data(),
            .kv_len = kv_len_.data(),
            .block_tables = nullptr,
            .max_blocks = 0,
            .tokens = q_begin_.back(),
            .states = slots_.data()};
  }
  StateSlots slots() { return {memory_.data(), floats_}; }
  std::vector<float>& memory() { return memory_; }
  int64_t n_seqs() const { return static_cast<int64_t>(slots_.size()); }
  int64_t begin(int64_t seq) const { return q_begin_[static_cast<size_t>(seq)]; }
  bool fresh(int64_t seq) const {
    return kv_len_[static_cast<size_t>(seq)] == begin(seq + 1) - begin(seq);
  }
  int64_t offset(int64_t seq) const { return slots_[static_cast<size_t>(seq)] * floats_; }
  const std::vector<int32_t>& q_begin() const { return q_begin_; }
  const std::vector<int32_t>& kv_len() const { return kv_len_; }
  const std::vector<int32_t>& slot_numbers() const { return slots_; }

 private:
  int64_t floats_;
  std::vector<int32_t> q_begin_ = {0};
  std::vector<int32_t> kv_len_;
  std::vector<int32_t> slots_;
  std::vector<float> memory_;
};

// Random inputs of the delta rule, and what it must give.
class DeltaCase {
 public:
  DeltaCase(const std::vector<std::pair<int32_t, int32_t>>& sequences, int64_t k_heads,
            int64_t heads, int64_t k_dim, int64_t v_dim)
      : states_(sequences, heads * k_dim * v_dim),
        k_heads_(k_heads),
        heads_(heads),
        k_dim_(k_dim),
        v_dim_(v_dim) {
    const int64_t n = states_.begin(states_.n_seqs());
    qkv_ = RaggedStates::random(n * (2 * k_heads * k_dim + heads * v_dim), 1);
    a_ = RaggedStates::random(n * heads, 2, 2);
    b_ = RaggedStates::random(n * heads, 3, 2);
    a_log_ = RaggedStates::random(heads, 4);
    dt_bias_ = RaggedStates::random(heads, 5);
    out_.assign(static_cast<size_t>(n * heads * v_dim), std::nanf(""));
  }

  DeltaRuleArgs args() {
    return {states_.batch(), states_.slots(), qkv_.data(), a_.data(), b_.data(), a_log_.data(),
            dt_bias_.data(), k_heads_,        heads_,      k_dim_,    v_dim_,    out_.data()};
  }
  // Tokens [begin, begin + n) of a single sequence.
  DeltaRuleArgs step(int64_t begin, int64_t n) {
    DeltaRuleArgs args = this->args();
    step_begin_ = {0, static_cast<int32_t>(n)};
    step_len_ = static_cast<int32_t>(begin + n);
    args.batch.q_begin = step_begin_.data();
    args.batch.kv_len = &step_len_;
    args.batch.tokens = n;
    args.qkv += begin * args.row();
    args.a += begin * heads_;
    args.b += begin * heads_;
    args.out += begin * heads_ * v_dim_;
    return args;
  }

  // What out must be; what the states must be is remembered.
  std::vector<double> reference() {
    expected_states_.assign(states_.memory().begin(), states_.memory().end());
    std::vector<double> out(out_.size());
    for (int64_t s = 0; s < states_.n_seqs(); ++s) {
      for (int64_t h = 0; h < heads_; ++h) run_head(s, h, out);
    }
    return out;
  }

  // Largest difference over the largest value.
  double out_error(const std::vector<double>& expected) const { return error(out_, expected); }
  double state_error() { return error(states_.memory(), expected_states_); }
  static double error(const std::vector<float>& actual, const std::vector<double>& expected) {
    double difference = 0;
    double scale = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double one = std::abs(double{actual[i]} - expected[i]);
      if (!(one <= difference)) difference = one;  // a NaN must not pass
      scale = std::max(scale, std::abs(expected[i]));
    }
    return difference / scale;
  }

  const std::vector<float>& out() const { return out_; }
  const std::vector<double>& expected_states() const { return expected_states_; }
  std::vector<float>& memory() { return states_.memory(); }
  std::vector<float>& qkv() { return qkv_; }
  RaggedStates& states() { return states_; }

 private:
  void run_head(int64_t seq, int64_t h, std::vector<double>& out) {
    double* s = expected_states_.data() + states_.offset(seq) + h * k_dim_ * v_dim_;
    if (states_.fresh(seq)) std::fill_n(s, k_dim_ * v_dim_, 0.0);
    const int64_t k_head = h / (heads_ / k_heads_);
    const int64_t row = 2 * k_heads_ * k_dim_ + heads_ * v_dim_;
    for (int64_t t = states_.begin(seq); t < states_.begin(seq + 1); ++t) {
      const float* q = qkv_.data() + t * row + k_head * k_dim_;
      const float* k = q + k_heads_ * k_dim_;
      const float* v = qkv_.data() + t * row + 2 * k_heads_ * k_dim_ + h * v_dim_;
      const double q_scale = 1 / std::sqrt(norm2(q) + 1e-6) / std::sqrt(double(k_dim_));
      const double k_scale = 1 / std::sqrt(norm2(k) + 1e-6);
      const auto at = static_cast<size_t>(t * heads_ + h);
      const auto head = static_cast<size_t>(h);
      const double x = double{a_[at]} + double{dt_bias_[head]};
      const double decay = std::exp(-std::exp(double{a_log_[head]}) * std::log1p(std::exp(x)));
      const double beta = 1 / (1 + std::exp(-double{b_[at]}));
      for (int64_t i = 0; i < k_dim_ * v_dim_; ++i) s[i] *= decay;
      for (int64_t j = 0; j < v_dim_; ++j) {
        double seen = 0;
        for (int64_t i = 0; i < k_dim_; ++i) seen += k[i] * k_scale * s[i * v_dim_ + j];
        const double written = beta * (v[j] - seen);
        double read = 0;
        for (int64_t i = 0; i < k_dim_; ++i) {
          s[i * v_dim_ + j] += k[i] * k_scale * written;
          read += q[i] * q_scale * s[i * v_dim_ + j];
        }
        out[static_cast<size_t>((t * heads_ + h) * v_dim_ + j)] = read;
      }
    }
  }
  double norm2(const float* x) const {
    double sum = 0;
    for (int64_t i = 0; i < k_dim_; ++i) sum += double{x[i]} * x[i];
    return sum;
  }

  RaggedStates states_;
  int64_t k_heads_, heads_, k_dim_, v_dim_;
  std::vector<float> qkv_, a_, b_, a_log_, dt_bias_, out_;
  std::vector<double> expected_states_;
  std::vector<int32_t> step_begin_;
  int32_t step_len_ = 0;
};

}  // namespace tq::fixtures
