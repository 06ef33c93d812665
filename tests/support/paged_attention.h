// PagedBatch: a ragged batch over shuffled KV pages, with what attention must give for it, computed
// in double straight from the definition.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "base/float16.h"
#include "base/math.h"
#include "format/hadamard.h"
#include "format/kv_rotated.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/kv.h"
#include "support/kv_formats.h"

namespace tq::fixtures {

struct AttentionCase {
  std::vector<int64_t> n_queries;  // of each sequence,
  std::vector<int64_t> kv_len;     // and its keys, those of this step included
  int64_t n_heads = 4;
  int64_t n_kv_heads = 2;
  int64_t k_dim = 16;
  int64_t v_dim = 16;
  KvFormatId format = kKvF32;
  int64_t window = 0;
  float softcap = 0;
  bool f16_queries = false;  // they are f16 numbers
  bool latent = false;       // values are the first part of the keys
  // Near pages of f16, unless tail is 0, which begin at this part of each sequence.
  int64_t sinks = 0;
  int64_t tail = 0;
  double near_begin = 0;
  bool near_rotated = false;  // they hold the basis of the codes, as the GPU's do
  int64_t bias_pairs =
      0;  // rotated pairs of a bias of keys, which the cache does not hold; 0: none
  bool interleaved = false;
  bool sink_scores = false;  // one for each head
};

class PagedBatch {
 public:
  explicit PagedBatch(const AttentionCase& shape, uint32_t seed = 1)
      : shape_(shape), random_(seed) {
    make_tables();
    const int64_t n_blocks = static_cast<int64_t>(order_.size());
    const auto n_vectors = static_cast<size_t>(n_blocks * shape.n_kv_heads * kKvBlockTokens);
    k_planes_ = {traits().keys, shape.k_dim, n_vectors};
    if (!shape.latent) v_planes_ = {traits().values, shape.v_dim, n_vectors};
    view_ = {shape.format,
             n_blocks,
             shape.n_kv_heads,
             shape.k_dim,
             shape.v_dim,
             k_planes_.codes.data(),
             Planes::or_null(v_planes_.codes),
             Planes::or_null(k_planes_.gains),
             Planes::or_null(v_planes_.gains)};
    q_ = normal(n_tokens() * shape.n_heads * shape.k_dim);
    if (shape.f16_queries) {
      for (float& x : q_) x = f16_to_f32(f32_to_f16(x));
    }
    for (size_t s = 0; s < shape.kv_len.size(); ++s) {
      k_.push_back(normal(shape.kv_len[s] * shape.n_kv_heads * shape.k_dim));
      v_.push_back(normal(shape.kv_len[s] * shape.n_kv_heads * shape.v_dim));
      cached_k_.push_back(as_cached(k_.back(), traits().keys, shape.k_dim));
      cached_v_.push_back(as_cached(v_.back(), traits().values, shape.v_dim));
      if (shape.latent) take_values_from_keys(cached_k_.back(), cached_v_.back());
    }
    if (shape.tail > 0) make_near(n_blocks, n_vectors);
    if (shape.bias_pairs > 0) make_bias();
    if (shape.sink_scores) {
      sink_scores_ = normal(shape.n_heads);
      sink_scores_[0] = 20;  // more than any score
    }
    out_.assign(static_cast<size_t>(n_tokens() * shape.n_heads * shape.v_dim), -1.0f);
  }

  int64_t n_seqs() const { return static_cast<int64_t>(shape_.kv_len.size()); }
  int64_t n_tokens() const { return q_begin_.back(); }
  std::vector<float>& out() { return out_; }

  // What stores sequence s.
  KvStoreArgs store_args(int64_t s) {
    const auto i = static_cast<size_t>(s);
    slots_.clear();
    for (int64_t p = 0; p < shape_.kv_len[i]; ++p) {
      const int64_t block =
          tables_[i * static_cast<size_t>(max_blocks_) + static_cast<size_t>(p / kKvBlockTokens)];
      slots_.push_back(block * kKvBlockTokens + p % kKvBlockTokens);
    }
    near_slots_.clear();  // in the same blocks of the near planes, from the last to the first
    for (const int64_t slot : slots_) {
      const int64_t block = view_.n_blocks - 1 - slot / kKvBlockTokens;
      near_slots_.push_back(block * kKvBlockTokens + slot % kKvBlockTokens);
    }
    return {view_, slots_.data(), shape_.kv_len[i], k_[i].data(), v_[i].data(), near_slots_.data()};
  }

  AttentionArgs attention_args() {
    RaggedBatch batch{n_seqs(), q_begin_.data(), kv_len_.data(), tables_.data(), max_blocks_};
    batch.near_tables = near_tables_.data();
    batch.near_begin = near_begin_.data();
    AttentionArgs args{view_,   batch,         q_.data(),      shape_.n_heads,
                       scale(), shape_.window, shape_.softcap, out_.data()};
    if (shape_.bias_pairs > 0) {
      args.key_bias = {bias_.data(), angles_.data(), angle_stride(), shape_.bias_pairs,
                       shape_.interleaved};
    }
    if (shape_.sink_scores) args.sink_scores = sink_scores_.data();
    return args;
  }

  // [tokens, n_heads, v_dim]
  std::vector<double> reference() const {
    std::vector<double> out;
    for (size_t s = 0; s < shape_.kv_len.size(); ++s) {
      for (int64_t query = 0; query < shape_.n_queries[s]; ++query) {
        for (int64_t head = 0; head < shape_.n_heads; ++head) append_row(s, query, head, out);
      }
    }
    return out;
  }

 private:
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape_.k_dim)); }
  const KvFormatTraits& traits() const { return kv_format_traits(shape_.format); }

  // The planes of a layer's keys or values. Slots that nothing was stored to hold NaN in plain
  // formats, and as gains: reading one would show.
  struct Planes {
    std::vector<uint8_t> codes;
    std::vector<uint16_t> gains;
    Planes() = default;
    Planes(const KvVectorTraits& vectors, int64_t dim, size_t n)
        : codes(n * static_cast<size_t>(vectors.code_bytes(dim)), 0xff),
          gains(n * static_cast<size_t>(vectors.n_gains(dim)), 0xffff) {}
    template <typename T>
    static T* or_null(std::vector<T>& plane) {
      return plane.empty() ? nullptr : plane.data();
    }
  };

  std::vector<float> normal(int64_t n) {
    std::normal_distribution<float> distribution(0.0f, 1.5f);
    std::vector<float> out(static_cast<size_t>(n));
    for (float& x : out) x = distribution(random_);
    return out;
  }

  // The vectors as the cache gives them back: its own error is no part of the comparison.
  static std::vector<float> as_cached(const std::vector<float>& values,
                                      const KvVectorTraits& vectors, int64_t dim) {
    std::vector<float> out(values.size());
    Planes one(vectors, dim, 1);
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(dim)) {
      vectors.store(values.data() + i, dim, one.codes.data(), Planes::or_null(one.gains));
      vectors.load(one.codes.data(), Planes::or_null(one.gains), dim, out.data() + i);
    }
    return out;
  }

  // The same of f16 numbers in the basis of codes.
  static std::vector<float> as_rotated(std::vector<float> values, int64_t dim) {
    const int group = kv_group(dim);
    for (size_t i = 0; i < values.size(); i += static_cast<size_t>(group)) {
      rotate_group(values.data() + i, group);
      for (int k = 0; k < group; ++k) {
        float& x = values[i + static_cast<size_t>(k)];
        x = f16_to_f32(f32_to_f16(x));
      }
      unrotate_group(values.data() + i, group);
    }
    return values;
  }

  void take_values_from_keys(const std::vector<float>& keys, std::vector<float>& values) const {
    const auto n = static_cast<int64_t>(values.size()) / shape_.v_dim;
    for (int64_t i = 0; i < n; ++i) {
      std::copy_n(keys.begin() + i * shape_.k_dim, shape_.v_dim, values.begin() + i * shape_.v_dim);
    }
  }

  void make_near(int64_t n_blocks, size_t n_vectors) {
    const KvFormatTraits& f16 = kv_format_traits(kKvF16);
    near_planes_[0] = {f16.keys, shape_.k_dim, n_vectors};
    near_planes_[1] = {f16.values, shape_.v_dim, n_vectors};
    near_view_ = {kKvF16,
                  n_blocks,
                  view_.n_kv_heads,
                  shape_.k_dim,
                  shape_.v_dim,
                  near_planes_[0].codes.data(),
                  near_planes_[1].codes.data()};
    view_.near = &near_view_;
    view_.sinks = shape_.sinks;
    view_.tail = shape_.tail;
    for (const int32_t block : tables_) {
      near_tables_.push_back(block < 0 ? block : static_cast<int32_t>(n_blocks - 1 - block));
    }
    for (size_t s = 0; s < k_.size(); ++s) {
      const auto length = static_cast<double>(shape_.kv_len[s] - shape_.n_queries[s]);
      const auto begin = static_cast<int64_t>(length * shape_.near_begin) / kKvBlockTokens;
      near_begin_.push_back(static_cast<int32_t>(begin * kKvBlockTokens));
      if (shape_.near_rotated) {
        near_k_.push_back(as_rotated(k_[s], shape_.k_dim));
        near_v_.push_back(as_rotated(v_[s], shape_.v_dim));
        continue;
      }
      near_k_.push_back(as_cached(k_[s], f16.keys, shape_.k_dim));
      near_v_.push_back(as_cached(v_[s], f16.values, shape_.v_dim));
    }
  }

  int64_t angle_stride() const { return round_up(2 * shape_.bias_pairs, 16); }
  double angle(int64_t position, int64_t pair) const {
    return static_cast<double>(position) *
           std::pow(100.0, -static_cast<double>(pair) / static_cast<double>(shape_.bias_pairs));
  }
  void make_bias() {
    bias_ = normal(shape_.n_kv_heads * shape_.k_dim);
    for (float& x : bias_) x *= 3;
    const int64_t n = max_blocks_ * kKvBlockTokens;
    angles_.assign(static_cast<size_t>(n * angle_stride()), 0.0f);
    for (int64_t p = 0; p < n; ++p) {
      float* row = angles_.data() + p * angle_stride();
      for (int64_t j = 0; j < shape_.bias_pairs; ++j) {
        row[j] = static_cast<float>(std::cos(angle(p, j)));
        row[shape_.bias_pairs + j] = static_cast<float>(std::sin(angle(p, j)));
      }
    }
  }
  // The query's product with the bias, rotated as RopeArgs says.
  double bias_score(const float* q, int64_t kv_head, int64_t position) const {
    std::vector<double> key(bias_.begin() + kv_head * shape_.k_dim,
                            bias_.begin() + (kv_head + 1) * shape_.k_dim);
    for (int64_t j = 0; j < shape_.bias_pairs; ++j) {
      double& a = key[static_cast<size_t>(shape_.interleaved ? 2 * j : j)];
      double& b = key[static_cast<size_t>(shape_.interleaved ? 2 * j + 1 : j + shape_.bias_pairs)];
      const double c = std::cos(angle(position, j)), s = std::sin(angle(position, j));
      const double turned = a * c - b * s;
      b = b * c + a * s;
      a = turned;
    }
    double score = 0;
    for (size_t i = 0; i < key.size(); ++i) score += double{q[i]} * key[i];
    return score;
  }

  // Pages are dealt from a shuffled pile with some to spare; unused entries hold an invalid page.
  void make_tables() {
    int64_t pages = 3;
    q_begin_ = {0};
    for (size_t s = 0; s < shape_.kv_len.size(); ++s) {
      const int64_t blocks = ceil_div(shape_.kv_len[s], kKvBlockTokens);
      max_blocks_ = std::max(max_blocks_, blocks + 1);
      pages += blocks;
      q_begin_.push_back(q_begin_.back() + static_cast<int32_t>(shape_.n_queries[s]));
      kv_len_.push_back(static_cast<int32_t>(shape_.kv_len[s]));
    }
    order_.resize(static_cast<size_t>(pages));
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), random_);
    size_t next = 0;
    for (const int64_t length : shape_.kv_len) {
      const int64_t blocks = ceil_div(length, kKvBlockTokens);
      for (int64_t b = 0; b < max_blocks_; ++b) {
        tables_.push_back(b < blocks ? order_[next++] : -1000000);
      }
    }
  }

  void append_row(size_t s, int64_t query, int64_t head, std::vector<double>& out) const {
    const int64_t position = shape_.kv_len[s] - shape_.n_queries[s] + query;
    const int64_t first =
        shape_.window > 0 ? std::max<int64_t>(0, position - shape_.window + 1) : 0;
    const int64_t kv_head = head / (shape_.n_heads / shape_.n_kv_heads);
    const float* q = q_.data() + ((q_begin_[s] + query) * shape_.n_heads + head) * shape_.k_dim;
    const auto is_near = [&](int64_t p) {
      return shape_.tail > 0 && (p < shape_.sinks || p > position - shape_.tail) &&
             (p < shape_.sinks || p >= near_begin_[s]);
    };
    const auto k_row = [&](int64_t p) {
      return (is_near(p) ? near_k_ : cached_k_)[s].data() +
             (p * shape_.n_kv_heads + kv_head) * shape_.k_dim;
    };
    const auto v_row = [&](int64_t p) {
      return (is_near(p) ? near_v_ : cached_v_)[s].data() +
             (p * shape_.n_kv_heads + kv_head) * shape_.v_dim;
    };
    std::vector<double> weights;
    for (int64_t p = first; p <= position; ++p) {
      double score = 0;
      for (int64_t i = 0; i < shape_.k_dim; ++i) {
        score += double{q[i]} * double{k_row(p)[i]};
      }
      if (shape_.bias_pairs > 0) score += bias_score(q, kv_head, p);
      score *= double{scale()};
      if (shape_.softcap > 0) {
        score = double{shape_.softcap} * std::tanh(score / double{shape_.softcap});
      }
      weights.push_back(score);
    }
    double max = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    if (shape_.sink_scores) {
      const double sink = sink_scores_[static_cast<size_t>(head)];
      max = std::max(max, sink);
      sum = std::exp(sink - max);
    }
    for (double& weight : weights) sum += weight = std::exp(weight - max);
    for (int64_t i = 0; i < shape_.v_dim; ++i) {
      double value = 0;
      for (int64_t p = first; p <= position; ++p) {
        value += weights[static_cast<size_t>(p - first)] * double{v_row(p)[i]};
      }
      out.push_back(value / sum);
    }
  }

  AttentionCase shape_;
  std::mt19937 random_;
  int64_t max_blocks_ = 1;
  std::vector<int32_t> order_;
  std::vector<int32_t> tables_;
  std::vector<int32_t> q_begin_;
  std::vector<float> sink_scores_;
  std::vector<int32_t> kv_len_;
  std::vector<int64_t> slots_;
  Planes k_planes_;
  Planes v_planes_;
  KvLayerView view_;
  Planes near_planes_[2];
  KvLayerView near_view_;
  std::vector<int32_t> near_tables_;
  std::vector<int32_t> near_begin_;
  std::vector<int64_t> near_slots_;
  std::vector<std::vector<float>> near_k_;
  std::vector<std::vector<float>> near_v_;
  std::vector<float> bias_;
  std::vector<float> angles_;
  std::vector<float> q_;
  std::vector<std::vector<float>> k_;
  std::vector<std::vector<float>> v_;
  std::vector<std::vector<float>> cached_k_;
  std::vector<std::vector<float>> cached_v_;
  std::vector<float> out_;
};

}  // namespace tq::fixtures
