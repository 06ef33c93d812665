// One step of every operator on a backend, with inputs large enough to be split among threads:
// what the tests of bits and of allocations run.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <vector>

#include "backend/backend.h"
#include "base/math.h"
#include "support/kv_formats.h"
#include "support/paged_attention.h"

namespace tq::fixtures {

// A weight of random codes; gains are 1 and plain weights small.
struct RandomWeight {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  WeightView view;

  RandomWeight(std::string_view format, int64_t rows, int64_t in, uint32_t seed) {
    const FormatTraits& traits = *find_format(format);
    view = weight_shape(traits, rows, in);
    codes.resize(static_cast<size_t>(rows * view.code_row_bytes()));
    std::mt19937 random(seed);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random());
    if (format == "bf16") {  // random bits would be huge and NaN: exponents near 1
      for (size_t i = 1; i < codes.size(); i += 2) codes[i] = 0x3d;
    }
    gains.assign(static_cast<size_t>(rows * view.gains_per_row()), f32_to_f16(1.0f));
    view.codes = codes.data();
    view.gains = traits.has_scales ? gains.data() : nullptr;
  }
};

class OperatorRun {
 public:
  static constexpr int64_t kTokens = 37;
  static constexpr int64_t kIn = 700;  // padded to 768 for rotated formats
  static constexpr int64_t kRows = 530;

  OperatorRun() : x_(kTokens * kIn), up_(kTokens * kIn) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (float& x : x_) x = normal(random);
    for (float& x : up_) x = normal(random);
    for (int32_t t = 0; t < kTokens; ++t) ids_.push_back((t * 97) % kRows);
    AttentionCase shape{{20, 1, 16}, {90, 200, 16}, 6, 2, 64, 48, fixtures::kKvF16};
    attention_ = std::make_unique<PagedBatch>(shape);
    for (const std::string_view format : {"tq3", "bf16"})
      weights_.emplace_back(format, kRows, kIn, 7);
    out_.resize(4 * kTokens * kIn);
    cos_.resize(kTokens * 8);
    sin_.resize(kTokens * 8);
    for (const auto& [stack, n, view] : {std::tuple{&experts_, kExperts, &weights_[0].view},
                                         std::tuple{&heads_, kHeads, &weights_[1].view}}) {
      const int64_t rows = kRows / n;
      for (int64_t i = 0; i < n; ++i) {
        const WeightView matrix = view->slice(i * rows, rows);
        if (i == 0) stack->matrix = matrix;
        stack->codes.push_back(matrix.codes);
        stack->gains.push_back(matrix.gains);
      }
    }
    for (std::vector<int32_t>* ids : {&chosen_, &pairs_, &pair_tokens_}) {
      ids->resize(kTokens * kTopK);
    }
    route_weights_.resize(kTokens * kTopK);
    begin_.resize(kExperts + 1);
  }

  // Memory that prepare() needs on this backend, whichever the weight.
  void reserve(const Backend& backend) {
    size_t bytes = 0;
    for (const RandomWeight& weight : weights_) {
      bytes =
          std::max(bytes, backend.activation_bytes(kTokens, weight.view.in_padded,
                                                   weight.view.group, weight.view.traits().input));
    }
    storage_.resize(bytes / sizeof(float) + 1);
  }

  // Calls check(operator's name, pointer to its output, floats) after every operator.
  template <typename Check>
  void run(Backend& backend, Check check) {
    float* out = out_.data();
    for (const RandomWeight& weight : weights_) {
      const WeightView& view = weight.view;
      backend.embed({view, ids_.data(), kTokens, 3.0f, out});
      check("embed", out, kTokens * kIn);
      const Activation x = backend.prepare({x_.data(), kTokens, kIn, view.in_padded, view.group,
                                            view.traits().input, storage_.data()});
      backend.matmul({view, x, nullptr, false, out});
      check("matmul", out, kTokens * kRows);
      backend.matmul({view, x, x_.data(), true, out});
      check("matmul onto itself", out, kTokens * kRows);
    }
    run_experts(backend, check);
    backend.rms_norm({x_.data(), up_.data(), 1e-6f, kTokens, kIn, out});
    check("rms_norm", out, kTokens * kIn);
    backend.rope_table({ids_.data(), up_.data(), kTokens, 8, cos_.data(), sin_.data()});
    backend.rope({out, kTokens, 10, 70, kIn, 8, false, cos_.data(), sin_.data()});
    check("rope", out, kTokens * kIn);
    for (const Activate activate : {Activate::kSilu, Activate::kGeluTanh, Activate::kGelu}) {
      backend.glu({activate, x_.data(), up_.data(), kTokens * kIn, out});
      check("glu", out, kTokens * kIn);
    }
    backend.glu_clamped({x_.data(), up_.data(), kTokens * kIn, 1.7f, 2.0f, out});
    backend.scale_by_position({out, ids_.data(), kTokens, kIn, 0.5f, 2});
    check("glu_clamped and scale_by_position", out, kTokens * kIn);
    backend.add({x_.data(), up_.data(), 0.5f, kTokens * kIn, out});
    backend.softcap({out, kTokens * kIn, 2.0f});
    check("add and softcap", out, kTokens * kIn);
    backend.gather_rows({x_.data(), {ids_.data()}, 1, kIn, out});
    check("gather_rows", out, kIn);
    backend.attention(attention_->attention_args());
    check("attention", attention_->out().data(), static_cast<int64_t>(attention_->out().size()));
  }

  // Fills the KV pages (allocates).
  void store_kv(Backend& backend) {
    for (int64_t s = 0; s < attention_->n_seqs(); ++s) {
      backend.kv_store(attention_->store_args(s));
    }
  }
  KvStoreArgs kv_store_args() { return attention_->store_args(0); }

 private:
  // Matrices of a stack and their pointers.
  struct Stack {
    WeightView matrix;
    std::vector<const uint8_t*> codes;
    std::vector<const uint16_t*> gains;
    MatrixStack view() const {
      return {matrix, static_cast<int64_t>(codes.size()), codes.data(), gains.data()};
    }
  };
  static constexpr int64_t kExperts = 10;
  static constexpr int64_t kTopK = 3;
  static constexpr int64_t kHeads = 37;  // a row of x for each: one token

  template <typename Check>
  void run_experts(Backend& backend, Check check) {
    float* out = out_.data();
    const Routing routing{chosen_.data(), route_weights_.data(), pairs_.data(), pair_tokens_.data(),
                          begin_.data()};
    backend.route({.logits = x_.data(),
                   .tokens = kTokens,
                   .n_experts = kExperts,
                   .top_k = kTopK,
                   .score = RouteScore::kSoftmax,
                   .out = routing});
    check("route", routing.weights, kTokens * kTopK);
    const auto prepare = [&](const WeightView& view) {
      return backend.prepare({x_.data(), kTokens, kIn, view.in_padded, view.group,
                              view.traits().input, storage_.data()});
    };
    const int64_t rows = experts_.matrix.rows;
    backend.matmul_experts(
        {experts_.view(), prepare(experts_.matrix), begin_.data(), pair_tokens_.data(), out});
    check("matmul_experts", out, kTokens * kTopK * rows);
    backend.add_expert_bias({out, x_.data(), begin_.data(), kExperts, kTokens * kTopK, rows});
    check("add_expert_bias", out, kTokens * kTopK * rows);
    float* sums = out + kTokens * kTopK * rows;
    backend.combine({out, routing, kTokens, kTopK, rows, false, sums});
    check("combine", sums, kTokens * rows);
    backend.matmul_heads({heads_.view(), prepare(heads_.matrix), out});
    check("matmul_heads", out, kTokens * heads_.matrix.rows);
  }

  std::vector<float> x_;
  std::vector<float> up_;
  std::vector<int32_t> ids_;
  std::vector<RandomWeight> weights_;
  std::unique_ptr<PagedBatch> attention_;
  std::vector<float> storage_;
  std::vector<float> out_;
  std::vector<float> cos_;
  std::vector<float> sin_;
  Stack experts_;
  Stack heads_;
  std::vector<int32_t> chosen_;
  std::vector<int32_t> pairs_;
  std::vector<int32_t> pair_tokens_;
  std::vector<float> route_weights_;
  std::vector<int32_t> begin_;
};

}  // namespace tq::fixtures
