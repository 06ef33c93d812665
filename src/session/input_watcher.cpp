#include "session/input_watcher.h"

#include <algorithm>

#include "convert/ldlq.h"

namespace tq {
namespace {

constexpr int64_t kTileRows = 64;

}  // namespace

const InputWatcher::Place* InputWatcher::find(const uint8_t* codes) const {
  const auto found = places_.find(codes);
  return found == places_.end() ? nullptr : &found->second;
}

void InputWatcher::matmul(const MatmulArgs& args) {
  watch(args.weight, args.x);
  inner_.matmul(args);
}

void InputWatcher::matmul_shared(std::span<const MatmulArgs> products) {
  watch(products[0].weight, products[0].x);
  for (const MatmulArgs& product : products) {
    if (const Place* place = find(products[0].weight.codes)) join(product.weight.codes, *place);
    inner_.matmul(product);
  }
}

void InputWatcher::matmul_gated(const GatedMatmulArgs& args) {
  watch(args.gate, args.x);
  if (const Place* place = find(args.gate.codes)) join(args.up.codes, *place);
  inner_.matmul_gated(args);
}

void InputWatcher::matmul_experts(const ExpertMatmulArgs& args) {
  watch_experts(args.weights, args);
  inner_.matmul_experts(args);
}

void InputWatcher::matmul_gated_experts(const GatedExpertsArgs& args) {
  watch_experts(args.gate, {.weights = args.gate,
                            .x = args.x,
                            .begin = args.begin,
                            .x_rows = args.x_rows,
                            .out = nullptr,
                            .pairs = args.pairs});
  const Place* place = find(args.gate.matrix.codes);
  for (int64_t e = 0; place != nullptr && e < args.up.n; ++e) join(args.up.codes[e], *place);
  inner_.matmul_gated_experts(args);
}

size_t InputWatcher::site_of(const uint8_t* codes, int64_t in, int64_t n) {
  if (const Place* known = find(codes)) return known->site;
  sites_.push_back({.in = in, .n = n, .hessians = {}});
  return sites_.size() - 1;
}

void InputWatcher::watch(const WeightView& weight, const Activation& x) {
  if (x.form != InputForm::kPlain || x.f32 == nullptr) return;
  const Place place{site_of(weight.codes, weight.in, 1), 0};
  join(weight.codes, place);
  add(place, {x.f32, x.rows, x.tokens});
}

// Experts that read tokens share what those are: each token once, however many experts it goes to.
// What they have made of them is their own.
void InputWatcher::watch_experts(const MatrixStack& stack, const ExpertMatmulArgs& args) {
  const Activation& x = args.x;
  if (x.form != InputForm::kPlain || x.f32 == nullptr) return;
  const bool shared = args.x_rows != nullptr;
  const size_t site = site_of(stack.codes[0], stack.matrix.in, shared ? 1 : stack.n);
  for (int64_t e = 0; e < stack.n; ++e) {
    const Place place{site, shared ? 0 : e};
    join(stack.codes[e], place);
    const int64_t n = args.begin[e + 1] - args.begin[e];
    if (!shared && n > 0) add(place, {x.f32, {.first = args.begin[e]}, n});
  }
  if (shared) add({site, 0}, {x.f32, x.rows, x.tokens});
}

void InputWatcher::add(const Place& place, const Rows& rows) {
  InputSite& site = sites_[place.site];
  if (site.hessians.empty()) return;
  Hessian& hessian = *site.hessians[static_cast<size_t>(place.index)];
  const int64_t in = site.in;
  hessian.n_inputs += rows.n;
  transposed_.resize(static_cast<size_t>(in * rows.n));
  for (int64_t t = 0; t < rows.n; ++t) {
    const float* x = rows.x + rows.rows[t] * in;
    for (int64_t i = 0; i < in; ++i) transposed_[static_cast<size_t>(i * rows.n + t)] = x[i];
  }
  auto tile = [&](int64_t begin, int64_t end, int /*thread*/) {
    multiply({.x = transposed_.data() + begin * rows.n,
              .x_rows = end - begin,
              .w = transposed_.data(),
              .w_rows = end,
              .depth = rows.n,
              .out = hessian.values.data() + begin * in,
              .out_stride = in,
              .accumulate = true});
  };
  pool_.parallel_for(in, kTileRows, tile);
}

}  // namespace tq
