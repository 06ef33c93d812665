// The compound operators, part by part.
#include "backend/operators.h"

#include "base/error.h"

namespace tq {

void Operators::sample(const SampleArgs& /*args*/) {
  fail(ErrorCode::kInternal, "a backend that does not sample was asked to");
}

void Operators::add_results(const AddResultsArgs& args) {
  if (args.n_results == 0) return;
  const auto norm = [&](const float* x, const float* weight, float* out) {
    rms_norm({.x = x,
              .weight = weight,
              .eps = args.eps,
              .rows = args.tokens,
              .dim = args.dim,
              .out = out});
  };
  const int64_t n = args.tokens * args.dim;
  const float* sum = nullptr;
  for (int i = 0; i < args.n_results; ++i) {
    const BlockResult& result = args.results[i];
    float* scratch = args.scratch + (i > 0 ? n : 0);
    const float* x = result.x;
    if (result.top_k > 0) {
      combine({.y = result.x,
               .routing = result.routing,
               .tokens = args.tokens,
               .top_k = result.top_k,
               .dim = args.dim,
               .accumulate = false,
               .out = scratch});
      x = scratch;
    }
    if (result.norm_weight != nullptr) {
      norm(x, result.norm_weight, scratch);
      x = scratch;
    }
    if (sum != nullptr) add({.a = sum, .b = x, .n = n, .out = args.scratch});
    sum = sum == nullptr ? x : args.scratch;
  }
  if (args.norm_weight != nullptr) {
    norm(sum, args.norm_weight, args.scratch);
    sum = args.scratch;
  }
  add({.a = args.residual, .b = sum, .scale = args.scale, .n = n, .out = args.residual});
}

void Operators::next_inputs(const NextInputsArgs& args) {
  add_results(args.add);
  for (int i = 0; i < args.n_inputs; ++i) {
    NormedInput& input = args.inputs[i];
    rms_norm({.x = args.add.residual,
              .weight = input.norm_weight,
              .eps = args.add.eps,
              .rows = args.add.tokens,
              .dim = args.add.dim,
              .out = input.rows});
    input.activation = prepare(input.prepare);
  }
}

void Operators::matmul_shared(std::span<const MatmulArgs> products) {
  for (const MatmulArgs& product : products) matmul(product);
}

void Operators::matmul_gated(const GatedMatmulArgs& args) {
  matmul({.weight = args.gate, .x = args.x, .bias = args.gate_bias, .out = args.out});
  matmul({.weight = args.up, .x = args.x, .bias = args.up_bias, .out = args.scratch});
  glu({.activate = args.activate,
       .gate = args.out,
       .up = args.scratch,
       .n = args.x.tokens * args.gate.rows,
       .out = args.out});
}

void Operators::matmul_gated_experts(const GatedExpertsArgs& args) {
  matmul_experts({.weights = args.gate,
                  .x = args.x,
                  .begin = args.begin,
                  .x_rows = args.x_rows,
                  .out = args.out,
                  .pairs = args.pairs});
  matmul_experts({.weights = args.up,
                  .x = args.x,
                  .begin = args.begin,
                  .x_rows = args.x_rows,
                  .out = args.scratch,
                  .pairs = args.pairs});
  glu({.activate = args.activate,
       .gate = args.out,
       .up = args.scratch,
       .n = args.pairs * args.gate.matrix.rows,
       .out = args.out});
}

void Operators::attention_inputs(const AttentionInputsArgs& args) {
  const auto norm_heads = [&](float* x, int64_t heads, const float* weight) {
    rms_norm({.x = x,
              .weight = weight,
              .eps = args.eps,
              .rows = args.tokens * heads,
              .dim = args.head_dim,
              .out = x});
  };
  const auto norm_and_rotate = [&](float* x, int64_t heads, const float* weight) {
    if (args.qk_norm) norm_heads(x, heads, weight);
    rope({.x = x,
          .tokens = args.tokens,
          .heads = heads,
          .head_dim = args.head_dim,
          .token_stride = heads * args.head_dim,
          .n_pairs = args.n_pairs,
          .interleaved = args.interleaved,
          .cos = args.cos,
          .sin = args.sin});
  };
  norm_and_rotate(args.q, args.n_heads, args.q_norm);
  if (args.k == nullptr) return;
  const int64_t heads = args.kv.n_kv_heads;
  if (args.v_is_k) {
    gather_rows({.x = args.k, .n = args.tokens * heads, .dim = args.head_dim, .out = args.v});
  }
  if (args.v_norm) norm_heads(args.v, heads, nullptr);
  norm_and_rotate(args.k, heads, args.k_norm);
  kv_store({.kv = args.kv,
            .slots = args.slots,
            .tokens = args.tokens,
            .k = args.k,
            .v = args.v,
            .near_slots = args.near_slots});
}

void Operators::latent_inputs(const LatentInputsArgs& args) {
  const int64_t rope_dim = 2 * args.n_pairs;
  const int64_t key_dim = args.kv_rank + rope_dim;
  const auto rotate = [&](float* x, int64_t heads) {
    rope({.x = x,
          .tokens = args.tokens,
          .heads = heads,
          .head_dim = key_dim,
          .token_stride = heads * key_dim,
          .n_pairs = args.n_pairs,
          .interleaved = args.interleaved,
          .cos = args.cos,
          .sin = args.sin});
  };
  // The latent is normed, the rotated part of the key behind it is not.
  rms_norm({.x = args.latent,
            .weight = args.latent_norm,
            .eps = args.eps,
            .rows = args.tokens,
            .dim = args.kv_rank,
            .out = args.latent,
            .stride = key_dim});
  rotate(args.latent + args.kv_rank, 1);
  kv_store(
      {.kv = args.kv, .slots = args.slots, .tokens = args.tokens, .k = args.latent, .v = nullptr});
  gather_rows({.x = args.q + args.nope_dim,
               .n = args.tokens * args.n_heads,
               .dim = rope_dim,
               .out = args.query + args.kv_rank,
               .x_stride = args.nope_dim + rope_dim,
               .out_stride = key_dim});
  rotate(args.query + args.kv_rank, args.n_heads);
}

Activation Operators::attention_prepared(const AttentionInputsArgs& inputs,
                                         const AttentionArgs& args, const PrepareArgs& next) {
  attention_inputs(inputs);
  attention(args);
  return prepare(next);
}

Activation Operators::attention_prepared(const LatentInputsArgs& inputs, const AttentionArgs& args,
                                         const PrepareArgs& next) {
  latent_inputs(inputs);
  attention(args);
  return prepare(next);
}

void Operators::route_tokens(const RouterArgs& args) {
  matmul({.weight = args.weight, .x = args.x, .bias = args.bias, .out = args.logits});
  RouteArgs choice = args.route;
  choice.logits = args.logits;
  route(choice);
}

Activation Operators::prepare_normed(const RmsNormArgs& norm, const PrepareArgs& args) {
  rms_norm(norm);
  return prepare(args);
}

Activation Operators::prepare_strided(const PrepareArgs& args, int64_t stride, float* gathered) {
  gather_rows({.x = args.x, .n = args.tokens, .dim = args.in, .out = gathered, .x_stride = stride});
  PrepareArgs dense = args;
  dense.x = gathered;
  return prepare(dense);
}

void Operators::run_beside(const std::function<void()>& side, const std::function<void()>& main) {
  side();
  main();
}

void Operators::run_recorded(uint64_t /*key*/, const std::function<void()>& operators) {
  operators();
}

}  // namespace tq
