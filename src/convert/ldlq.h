// LDLQ (Chee et al. 2023, "QuIP"; in blocks: Tseng et al. 2024, "QuIP#"): rounding with feedback.
// The Hessian is factored as H = U D U^T, U unit upper triangular in blocks of a group and D block
// diagonal, so that what the errors e of a row cost is the sum over groups k of
// |e_k + sum over j < k of e_j U_jk|^2 by D_k. Groups are encoded in ascending order, and each
// aims at its weights plus sum e_j U_jk, which makes every term as small as the format allows.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "convert/hessian.h"
#include "format/row_encoder.h"

namespace tq {

// out[i, j] (+)= sum_c x[i, c] w[j, c]; x: [x_rows, depth], w: [w_rows, depth]. On this thread.
struct FloatProduct {
  const float* x;
  int64_t x_rows;
  const float* w;
  int64_t w_rows;
  int64_t depth;
  float* out;
  int64_t out_stride;
  bool accumulate = false;
};
void multiply(const FloatProduct& product);

// The factor U of a Hessian. Immutable, thread safe.
class ErrorFeedback {
 public:
  // For rows of in_padded weights, a multiple of the group; behind hessian.in there is padding.
  ErrorFeedback(const Hessian& hessian, int64_t in_padded, int group, ThreadPool& pool);

  // U_jk transposed, [group, group], for j < k.
  const float* block(int64_t k, int64_t j) const {
    return blocks_.data() + (k * (k - 1) / 2 + j) * group_ * group_;
  }

 private:
  int64_t group_;
  std::vector<float> blocks_;  // of k = 1: j = 0; of k = 2: j = 0, 1; ...
};

// As RowEncoder, with feedback. Used by one thread.
class FeedbackEncoder {
 public:
  // For a format with groups that are encoded one by one (FormatTraits::rows_together is 1).
  FeedbackEncoder(std::string_view tensor, const WeightView& shape, const EncodeOptions& options,
                  const ErrorFeedback& feedback);

  // Encodes n rows [n, in] of finite weights. codes: [n, code_row_bytes]; gains: f16 [n,
  // gains_per_row]. The statistics are of the weights: they grow, while the errors of outputs
  // shrink. Throws what RowEncoder throws.
  EncodeStats encode(const float* rows, int64_t n, uint8_t* codes, uint16_t* gains);

 private:
  WeightView shape_;
  const ErrorFeedback& feedback_;
  RowEncoder group_encoder_;
  std::vector<float> errors_;   // [groups, n, group]
  std::vector<float> targets_;  // [n, group]
};

}  // namespace tq
