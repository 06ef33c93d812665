// The CPU kernels: one table of plain functions an instruction set. A kernel runs a part [begin,
// end) of one operator on the calling thread; the backend cuts operators into parts. Kernels
// allocate nothing, keep no state and may run on many threads at once. What part an element is in,
// and which other tokens ride in the batch, never changes its bits.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "format/formats.h"
#include "format/kv_formats.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/experts.h"
#include "kernels/ops/kv.h"
#include "kernels/ops/norm.h"
#include "kernels/ops/product.h"
#include "kernels/ops/recurrent.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rows.h"

namespace tq {

// Runs elements [begin, end) of an operator; each slot below says what an element is.
template <typename Args>
using CpuKernel = void (*)(const Args& args, int64_t begin, int64_t end);

// Rows to the rotated basis: zero-padded from `in` to `in_padded`, then each group rotated.
// Quantised: q8 = round(x / scale), scale = max |x| / 127 of the group (0 for a group of zeros).
// A product with weights w = gain * c then differs from the exact one by at most the sum over its
// inputs of |w| * scale / 2, and for formats whose int8 centroids are rounded (tq2 to tq5) of
// gain * int8_unit / 2 * (|x| + scale / 2) more. Both parts are sums of independent
// errors: on random activations their root mean square is below 1 % of the product's.
struct RotateArgs {
  const float* x;  // [tokens, in]
  int64_t in;
  int64_t in_padded;
  int group;
  float* f32;       // [tokens, in_padded]: `rotate` writes it
  int8_t* q8;       // [tokens, in_padded] and
  float* q8_scale;  // [tokens, in_padded / group]: `rotate_quantize` writes them
};

// Attention rows (query, head) that share one walk over the pages.
constexpr int64_t kAttentionRows = 32;

// A part of an attention: sequence `seq`, one kv head, and of its rows [row_begin, row_end), at
// most kAttentionRows. Row i is query i / group of the sequence and head i % group of the kv
// head's group of query heads, group = n_heads / n_kv_heads.
struct AttentionTile {
  int64_t seq;
  int64_t kv_head;
  int64_t row_begin;
  int64_t row_end;
};

// Scratch of one thread running attention; only the dims in use are touched.
struct alignas(64) AttentionScratch {
  float k[kKvBlockTokens * kMaxHeadDim];  // a page as fp32
  float v[kKvBlockTokens * kMaxHeadDim];
  float q[kAttentionRows * kMaxHeadDim];     // the tile's rows, padded or in the keys' basis
  float bias[kAttentionRows * kMaxHeadDim];  // bias_factors() of the rows (attention_rows.h)
  float bias_rest[kAttentionRows];
  float out[kAttentionRows * kMaxHeadDim];  // each row's sum of weighted values so far,
  float max[kAttentionRows];                // its largest score
  float sum[kAttentionRows];                // and its sum of weights
};

constexpr int kFormatSlots = AllFormats::kSize;
constexpr int kKvFormatSlots = AllKvFormats::kSize;
constexpr int kActivateSlots = 3;  // indexed by Activate

struct CpuKernels {
  std::string_view name;  // "generic"
  // Element operations worth waking a thread for: several times what that costs.
  int64_t part_cost;

  // By FormatId. Elements are rows of the weight; every token of the batch is multiplied.
  // matmul_f32 reads x.f32; matmul_i8 reads x.q8 and is null for formats of plain input form.
  std::array<CpuKernel<MatmulArgs>, kFormatSlots> matmul_f32;
  std::array<CpuKernel<MatmulArgs>, kFormatSlots> matmul_i8;
  // By FormatId. Elements are tokens.
  std::array<CpuKernel<EmbedArgs>, kFormatSlots> embed;

  CpuKernel<RotateArgs> rotate;                      // elements are tokens
  CpuKernel<RotateArgs> rotate_quantize;             // tokens
  CpuKernel<RmsNormArgs> rms_norm;                   // rows
  CpuKernel<RopeTableArgs> rope_table;               // tokens
  CpuKernel<RopeArgs> rope;                          // tokens
  CpuKernel<ScaleByPositionArgs> scale_by_position;  // tokens
  // By KvFormatId.
  std::array<CpuKernel<KvStoreArgs>, kKvFormatSlots> kv_store;  // tokens
  std::array<void (*)(const AttentionArgs&, const AttentionTile&, AttentionScratch&),
             kKvFormatSlots>
      attention;
  std::array<CpuKernel<GluArgs>, kActivateSlots> glu;  // elements of the n
  CpuKernel<ClampedGluArgs> glu_clamped;               // elements of the n
  CpuKernel<AddArgs> add;                              // elements of the n
  CpuKernel<SoftcapArgs> softcap;                      // elements of the n
  CpuKernel<RouteArgs> route;                          // tokens: experts and weights, not pairs
  CpuKernel<CombineArgs> combine;                      // tokens
  CpuKernel<ExpertBiasArgs> add_expert_bias;           // pairs
  CpuKernel<GatherRowsArgs> gather_rows;               // rows
  CpuKernel<SigmoidGateArgs> sigmoid_gate;             // rows
  CpuKernel<GatedNormArgs> gated_norm;                 // rows
  CpuKernel<ShortConvArgs> short_conv;                 // channels, of all sequences
  CpuKernel<DeltaRuleArgs>
      delta_rule;  // n_seqs * n_heads: head e % n_heads of sequence e / n_heads
};

// Portable C++ in every slot.
const CpuKernels& generic_kernels();

// The tables this CPU can run: generic first, best last.
std::span<const CpuKernels> available_kernels();

// The best table this CPU can run, or the one that `forced` names (TQ_FORCE_ISA; empty: the best).
// Throws kInvalidArgument for an unknown name, with the names there are.
const CpuKernels& select_kernels(const std::string& forced);
const CpuKernels& select_kernels();

}  // namespace tq
