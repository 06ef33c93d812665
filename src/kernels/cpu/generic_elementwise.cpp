// Norms, rotary embedding, activations and other memory-bound operators.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/generic.h"
#include "kernels/cpu/vector_math.h"

namespace tq::generic {
namespace {

double sum_of_squares(const float* x, int64_t n) {
  constexpr int kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += double{x[i + k]} * x[i + k];
  }
  double sum = 0;
  for (; i < n; ++i) sum += double{x[i]} * x[i];
  for (const double lane : lanes) sum += lane;
  return sum;
}

void rms_norm(const RmsNormArgs& args, int64_t begin, int64_t end) {
  const int64_t stride = args.stride > 0 ? args.stride : args.dim;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = args.x + row * stride;
    float* out = args.out + row * stride;
    const double mean = sum_of_squares(x, args.dim) / static_cast<double>(args.dim);
    const float scale = static_cast<float>(1.0 / std::sqrt(mean + double{args.eps}));
    if (args.weight == nullptr) {
      for (int64_t i = 0; i < args.dim; ++i) out[i] = x[i] * scale;
    } else {
      for (int64_t i = 0; i < args.dim; ++i) out[i] = x[i] * scale * args.weight[i];
    }
  }
}

void rope_table(const RopeTableArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t j = 0; j < args.n_pairs; ++j) {
      const double angle = double{args.inv_freq[j]} * args.positions[t];
      args.cos[t * args.n_pairs + j] = static_cast<float>(std::cos(angle) * double{args.scale});
      args.sin[t * args.n_pairs + j] = static_cast<float>(std::sin(angle) * double{args.scale});
    }
  }
}

// Pairs (x[j * kStep], x[j * kStep + distance]).
template <int kStep>
void rope_head(float* x, const float* cos, const float* sin, int64_t n_pairs) {
  const int64_t distance = kStep == 1 ? n_pairs : 1;
  for (int64_t j = 0; j < n_pairs; ++j) {
    const float a = x[j * kStep];
    const float b = x[j * kStep + distance];
    x[j * kStep] = a * cos[j] - b * sin[j];
    x[j * kStep + distance] = b * cos[j] + a * sin[j];
  }
}

void rope(const RopeArgs& args, int64_t begin, int64_t end) {
  const auto rotate_head = args.interleaved ? rope_head<2> : rope_head<1>;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t h = 0; h < args.heads; ++h) {
      rotate_head(args.x + t * args.token_stride + h * args.head_dim, args.cos + t * args.n_pairs,
                  args.sin + t * args.n_pairs, args.n_pairs);
    }
  }
}

void scale_by_position(const ScaleByPositionArgs& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const auto spans = static_cast<double>(args.positions[t] / args.original);
    const auto factor = static_cast<float>(1 + double{args.beta} * std::log1p(spans));
    if (factor == 1.0f) continue;
    float* x = args.x + t * args.dim;
    for (int64_t i = 0; i < args.dim; ++i) x[i] *= factor;
  }
}

struct Silu {
  float operator()(float x) const { return x / (1.0f + fast_exp(-x)); }
};

// x/2 (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3): no cancellation.
struct GeluTanh {
  float operator()(float x) const {
    constexpr float kTwoSqrt2OverPi = 1.5957691216f;
    return x / (1.0f + fast_exp(-kTwoSqrt2OverPi * (x + 0.044715f * x * x * x)));
  }
};

struct Gelu {
  float operator()(float x) const {
    constexpr float kSqrtHalf = 0.70710678119f;
    return 0.5f * x * std::erfc(-x * kSqrtHalf);
  }
};

template <typename F>
void glu(const GluArgs& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) args.out[i] = F{}(args.gate[i]) * args.up[i];
}

// A NaN stays one, which min and max would lose.
void glu_clamped(const ClampedGluArgs& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float gate = args.gate[i] > args.limit ? args.limit : args.gate[i];
    float up = args.up[i] > args.limit ? args.limit : args.up[i];
    up = up < -args.limit ? -args.limit : up;
    args.out[i] = (up + 1.0f) * (gate / (1.0f + fast_exp(-args.alpha * gate)));
  }
}

void add_expert_bias(const ExpertBiasArgs& args, int64_t begin, int64_t end) {
  int64_t expert = 0;
  for (int64_t p = begin; p < end; ++p) {
    while (p >= args.begin[expert + 1]) ++expert;
    const float* bias = args.bias + expert * args.dim;
    float* x = args.x + p * args.dim;
    for (int64_t i = 0; i < args.dim; ++i) x[i] += bias[i];
  }
}

void add(const AddArgs& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) args.out[i] = (args.a[i] + args.b[i]) * args.scale;
}

void softcap(const SoftcapArgs& args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) args.x[i] = args.cap * fast_tanh(args.x[i] / args.cap);
}

void gather_rows(const GatherRowsArgs& args, int64_t begin, int64_t end) {
  const int64_t x_stride = args.x_stride > 0 ? args.x_stride : args.dim;
  const int64_t out_stride = args.out_stride > 0 ? args.out_stride : args.dim;
  for (int64_t i = begin; i < end; ++i) {
    std::copy_n(args.x + args.rows[i] * x_stride, args.dim, args.out + i * out_stride);
  }
}

void sigmoid_gate(const SigmoidGateArgs& args, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    float* x = args.x + r * args.dim;
    const float* gate = args.gate + r * args.gate_stride;
    for (int64_t i = 0; i < args.dim; ++i) x[i] /= 1.0f + fast_exp(-gate[args.per_row ? 0 : i]);
  }
}

}  // namespace

void fill_elementwise(CpuKernels& table) {
  table.rms_norm = rms_norm;
  table.rope_table = rope_table;
  table.rope = rope;
  table.scale_by_position = scale_by_position;
  table.glu[static_cast<size_t>(Activate::kSilu)] = glu<Silu>;
  table.glu[static_cast<size_t>(Activate::kGeluTanh)] = glu<GeluTanh>;
  table.glu[static_cast<size_t>(Activate::kGelu)] = glu<Gelu>;
  table.glu_clamped = glu_clamped;
  table.add_expert_bias = add_expert_bias;
  table.add = add;
  table.softcap = softcap;
  table.gather_rows = gather_rows;
  table.sigmoid_gate = sigmoid_gate;
}

}  // namespace tq::generic
