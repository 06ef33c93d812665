// The toy model as a device that chooses tokens runs it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/cpu/sample.h"
#include "unit/engine/toy_model.h"

namespace tq {

// A toy on a device that chooses.
class ChoosingToy : public ToyModel {
 public:
  using ToyModel::ToyModel;
  bool chooses_tokens() const override { return true; }
  int64_t max_token_values() const override { return token_values; }
  void exclude_tokens(std::span<const int32_t> ids) override {
    excluded_.assign(ids.begin(), ids.end());
  }
  void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
    ++n_forward;
    ToyModel::forward(batch, kv, logits);
  }
  void next_tokens(Batch batch, KvCache& kv, const TokenChoice& choice,
                   std::span<int32_t> tokens) override {
    ++n_chosen;
    std::vector<float> logits(tokens.size() * kToyVocab);
    ToyModel::forward(batch, kv, logits);
    std::span<const uint32_t> masks;
    if (choice.masks) masks = choice.masks();
    for (size_t r = 0; r < tokens.size(); ++r) {
      const auto row = std::span(logits).subspan(r * kToyVocab, kToyVocab);
      for (const int32_t id : excluded_) {
        row[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
      }
      tokens[r] = sampler_.sample(row.first(static_cast<size_t>(choice.n_tokens)), choice.rows[r],
                                  choice.lists.data(), masks.data());
    }
  }

  int64_t token_values = 1000;
  int n_forward = 0;  // steps whose logits were asked for
  int n_chosen = 0;   // and whose tokens were

 private:
  RowSampler sampler_;
  std::vector<int32_t> excluded_;
};

}  // namespace tq
