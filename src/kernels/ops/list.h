// THE LIST of operators that are calls with one Args struct: OP(name, Args) for each. What has a
// line for every operator expands it: the interface, declarations of kernels, backends and
// stand-ins for them; see docs/add-an-operator.md. What operators compute is said of their Args.
#pragma once

// Products with weights.
#define TQ_PRODUCT_OPERATORS(OP)       \
  OP(matmul, MatmulArgs)               \
  OP(matmul_experts, ExpertMatmulArgs) \
  OP(matmul_heads, HeadMatmulArgs)

// All other elementary ones, but for attention.
#define TQ_SIMPLE_OPERATORS(OP)              \
  OP(embed, EmbedArgs)                       \
  OP(route, RouteArgs)                       \
  OP(combine, CombineArgs)                   \
  OP(add_expert_bias, ExpertBiasArgs)        \
  OP(rms_norm, RmsNormArgs)                  \
  OP(rope_table, RopeTableArgs)              \
  OP(rope, RopeArgs)                         \
  OP(scale_by_position, ScaleByPositionArgs) \
  OP(kv_store, KvStoreArgs)                  \
  OP(glu, GluArgs)                           \
  OP(glu_clamped, ClampedGluArgs)            \
  OP(add, AddArgs)                           \
  OP(softcap, SoftcapArgs)                   \
  OP(gather_rows, GatherRowsArgs)            \
  OP(sigmoid_gate, SigmoidGateArgs)          \
  OP(gated_norm, GatedNormArgs)              \
  OP(short_conv, ShortConvArgs)              \
  OP(delta_rule, DeltaRuleArgs)

// What every backend must have.
#define TQ_ELEMENTARY_OPERATORS(OP) \
  TQ_PRODUCT_OPERATORS(OP)          \
  TQ_SIMPLE_OPERATORS(OP)           \
  OP(attention, AttentionArgs)

// Made of these, unless a backend runs them in one pass.
#define TQ_COMPOUND_OPERATORS(OP)            \
  OP(add_results, AddResultsArgs)            \
  OP(next_inputs, NextInputsArgs)            \
  OP(matmul_gated, GatedMatmulArgs)          \
  OP(matmul_gated_experts, GatedExpertsArgs) \
  OP(attention_inputs, AttentionInputsArgs)  \
  OP(latent_inputs, LatentInputsArgs)        \
  OP(route_tokens, RouterArgs)
