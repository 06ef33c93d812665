#include "convert/ldlq.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "format/formats.h"
#include "kernels/cpu/kernels.h"

namespace tq {
namespace {

constexpr int64_t kTileRows = 64;

// Added to the diagonal, of its mean: what a text says nothing of is not left to chance.
constexpr float kDamping = 0.01F;

// out[j, i] = x[i, j] for the [rows, columns] at x.
void transpose(const float* x, int64_t stride, int64_t rows, int64_t columns, float* out) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = x[i * stride + j];
  }
}

// Factors a Hessian from its last group to its first: of what is left, S, the last diagonal block
// is D_k = L L^T; with Y = S_:k L^-T, U_:k = Y L^-1, and S loses Y Y^T.
class Factoring {
 public:
  Factoring(const Hessian& hessian, int64_t in_padded, int group, ThreadPool& pool)
      : n_(in_padded), group_(group), pool_(pool), left_(at(n_ * n_)) {
    double trace = 0;
    for (int64_t i = 0; i < hessian.in; ++i) {
      const float* row = hessian.values.data() + i * hessian.in;
      std::copy_n(row, i + 1, left_.data() + i * n_);
      trace += row[i];
    }
    damping_ = std::max(kDamping * static_cast<float>(trace / static_cast<double>(hessian.in)),
                        std::numeric_limits<float>::min());
    // Of few inputs, what they have in common is partly chance.
    const auto n_inputs = static_cast<float>(hessian.n_inputs);
    const float shrink = n_inputs / (n_inputs + kShrinkage * static_cast<float>(hessian.in));
    for (int64_t i = 0; i < n_; ++i) {
      float* row = left_.data() + i * n_;
      for (int64_t j = 0; j < i; ++j) row[j] *= shrink;
      row[i] += damping_;
    }
  }

  // U_jk transposed to blocks + offset(k, j).
  template <typename Offset>
  void run(float* blocks, const Offset& offset) {
    for (int64_t k = n_ / group_ - 1; k > 0; --k) {
      const int64_t before = k * group_;  // rows and columns that are left
      invert_factor(before);
      panel_.resize(at(before * group_));
      y_.resize(panel_.size());
      minus_y_.resize(panel_.size());
      const float* rows = left_.data() + before * n_;
      transpose(rows, n_, group_, before, panel_.data());
      const auto solve = [&](const std::vector<float>& x, const std::vector<float>& w,
                             std::vector<float>& out, int64_t begin, int64_t end) {
        multiply({.x = x.data() + begin * group_,
                  .x_rows = end - begin,
                  .w = w.data(),
                  .w_rows = group_,
                  .depth = group_,
                  .out = out.data() + begin * group_,
                  .out_stride = group_});
      };
      in_tiles(before, [&](int64_t begin, int64_t end) {
        solve(panel_, inverse_, y_, begin, end);
        solve(y_, inverse_t_, panel_, begin, end);  // from here on U_:k
        for (int64_t i = begin * group_; i < end * group_; ++i) minus_y_[at(i)] = -y_[at(i)];
      });
      in_tiles(before, [&](int64_t begin, int64_t end) {
        multiply({.x = minus_y_.data() + begin * group_,
                  .x_rows = end - begin,
                  .w = y_.data(),
                  .w_rows = end,
                  .depth = group_,
                  .out = left_.data() + begin * n_,
                  .out_stride = n_,
                  .accumulate = true});
      });
      for (int64_t j = 0; j < k; ++j) {
        transpose(panel_.data() + j * group_ * group_, group_, group_, group_,
                  blocks + offset(k, j));
      }
    }
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  template <typename Tile>
  void in_tiles(int64_t n, const Tile& tile) {
    auto part = [&](int64_t begin, int64_t end, int /*thread*/) { tile(begin, end); };
    pool_.parallel_for(n, kTileRows, part);
  }

  // L^-1 of the diagonal block at `first` to inverse_, and transposed.
  void invert_factor(int64_t first) {
    std::vector<double> l(at(group_ * group_));
    for (int64_t i = 0; i < group_; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        double sum = left_[at((first + i) * n_ + first + j)];
        for (int64_t c = 0; c < j; ++c) sum -= l[at(i * group_ + c)] * l[at(j * group_ + c)];
        if (i == j) {
          l[at(i * group_ + i)] = std::sqrt(std::max(sum, static_cast<double>(damping_)));
        } else {
          l[at(i * group_ + j)] = sum / l[at(j * group_ + j)];
        }
      }
    }
    inverse_.assign(at(group_ * group_), 0);
    for (int64_t j = 0; j < group_; ++j) {
      std::vector<double> column(at(group_));
      for (int64_t i = j; i < group_; ++i) {
        double sum = i == j ? 1 : 0;
        for (int64_t c = j; c < i; ++c) sum -= l[at(i * group_ + c)] * column[at(c)];
        column[at(i)] = sum / l[at(i * group_ + i)];
        inverse_[at(i * group_ + j)] = static_cast<float>(column[at(i)]);
      }
    }
    inverse_t_.resize(inverse_.size());
    transpose(inverse_.data(), group_, group_, group_, inverse_t_.data());
  }

  static constexpr float kShrinkage = 1;

  int64_t n_;
  int64_t group_;
  ThreadPool& pool_;
  float damping_ = 0;
  std::vector<float> left_;       // [n, n], its lower triangle
  std::vector<float> inverse_;    // L^-1
  std::vector<float> inverse_t_;  // L^-T
  std::vector<float> panel_;      // S_:k, then U_:k
  std::vector<float> y_;
  std::vector<float> minus_y_;
};

WeightView one_group(const WeightView& shape) {
  WeightView group = shape;
  group.in = group.in_padded = shape.group;
  return group;
}

}  // namespace

void multiply(const FloatProduct& p) {
  static const CpuKernels& kernels = select_kernels();
  constexpr FormatId kF32 = format_id<F32>();
  WeightView weight = weight_shape(format_traits(kF32), p.w_rows, p.depth);
  weight.codes = reinterpret_cast<const uint8_t*>(p.w);
  const MatmulArgs args{.weight = weight,
                        .x = {.tokens = p.x_rows, .in = p.depth, .in_padded = p.depth, .f32 = p.x},
                        .accumulate = p.accumulate,
                        .out = p.out,
                        .out_rows = {},
                        .out_stride = p.out_stride};
  kernels.matmul_f32[static_cast<size_t>(kF32)](args, 0, p.w_rows);
}

ErrorFeedback::ErrorFeedback(const Hessian& hessian, int64_t in_padded, int group, ThreadPool& pool)
    : group_(group) {
  const int64_t n_groups = in_padded / group;
  blocks_.resize(static_cast<size_t>(n_groups * (n_groups - 1) / 2 * group_ * group_));
  Factoring(hessian, in_padded, group, pool).run(blocks_.data(), [&](int64_t k, int64_t j) {
    return block(k, j) - blocks_.data();
  });
}

FeedbackEncoder::FeedbackEncoder(std::string_view tensor, const WeightView& shape,
                                 const EncodeOptions& options, const ErrorFeedback& feedback)
    : shape_(shape), feedback_(feedback), group_encoder_(tensor, one_group(shape), options) {}

EncodeStats FeedbackEncoder::encode(const float* rows, int64_t n, uint8_t* codes, uint16_t* gains) {
  const int64_t group = shape_.group;
  const int64_t n_groups = shape_.gains_per_row();
  const int64_t block = n * group;
  WeightView written = one_group(shape_);
  errors_.resize(static_cast<size_t>(n_groups * block));
  targets_.resize(static_cast<size_t>(block));
  std::vector<float> decoded(static_cast<size_t>(group));
  std::vector<float> scratch(static_cast<size_t>(group));
  EncodeStats stats;
  for (int64_t k = 0; k < n_groups; ++k) {
    const int64_t n_weights = std::min(group, shape_.in - k * group);  // the rest is padding
    float* errors = errors_.data() + k * block;
    std::fill_n(errors, block, 0.0F);
    for (int64_t r = 0; r < n; ++r) {
      std::copy_n(rows + r * shape_.in + k * group, n_weights, errors + r * group);
    }
    std::copy_n(errors, block, targets_.data());
    for (int64_t j = 0; j < k; ++j) {
      multiply({.x = errors_.data() + j * block,
                .x_rows = n,
                .w = feedback_.block(k, j),
                .w_rows = group,
                .depth = group,
                .out = targets_.data(),
                .out_stride = group,
                .accumulate = true});
    }
    for (int64_t r = 0; r < n; ++r) {
      uint8_t* code = codes + r * shape_.code_row_bytes() + k * written.code_row_bytes();
      uint16_t* gain = gains + r * n_groups + k;
      group_encoder_.encode(targets_.data() + r * group, 1, code, gain);
      written.codes = code;
      written.gains = gain;
      decode_row_plain(written, 0, decoded.data(), scratch.data());
      for (int64_t i = 0; i < group; ++i) {
        float& error = errors[r * group + i];
        stats.squared_norm += double{error} * error;
        error -= decoded[static_cast<size_t>(i)];
        stats.squared_error += double{error} * error;
      }
    }
  }
  return stats;
}

}  // namespace tq
