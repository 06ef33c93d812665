// The operators' arguments: one struct of plain data for each, shared by every backend and by the
// kernels that run it. Pointers are device pointers, matrices are dense row-major, activations
// fp32. Plain data; owns nothing.
#pragma once

#include <cstdint>

#include "format/traits.h"
#include "kernels/op_types.h"

namespace tq {

// Which rows of a matrix an operator takes, in order: listed, or evenly spaced.
struct RowMap {
  const int32_t* rows = nullptr;  // null: row i is first + i * step
  int64_t first = 0;
  int64_t step = 1;
  int64_t operator[](int64_t i) const { return rows != nullptr ? rows[i] : first + i * step; }
};

// An activation in the form a matmul reads: made once by Backend::prepare, shared by q, k and v or
// by gate and up. Exactly one of the representations is set, as the backend chose; what they hold
// is described for all rows there are, of which a matmul reads rows[0] .. rows[tokens - 1].
struct Activation {
  InputForm form = InputForm::kPlain;
  int64_t tokens = 0;
  int64_t in = 0;
  int64_t in_padded = 0;            // row stride in elements
  int group = 0;                    // rotation group; 0 for plain
  const float* f32 = nullptr;       // [tokens, in_padded]
  const int8_t* q8 = nullptr;       // [tokens, in_padded] with
  const float* q8_scale = nullptr;  // [tokens, in_padded / group]
  RowMap rows;
  // Where a backend lets the product prepare its own input: the rows [tokens, in], source_stride
  // elements apart, which must stay as they are until then; q8 is room for them.
  const float* source = nullptr;
  int64_t source_stride = 0;
  // Rows that attention left in parts: source is then [tokens, n_parts, in], and this what they
  // are merged by.
  const float* part_stats = nullptr;  // [tokens, n_parts, 2]
  int n_parts = 0;
};

struct PrepareArgs {
  const float* x;  // [tokens, in]
  int64_t tokens;
  int64_t in;
  int64_t in_padded;  // rotated rows are zero-padded to this before the rotation
  int group;
  InputForm form;
  void* storage;  // activation_bytes(...) of scratch; unused for kPlain
};

struct EmbedArgs {
  WeightView table;    // [vocab, hidden]
  const int32_t* ids;  // [tokens], all in [0, vocab)
  int64_t tokens;
  float scale;
  float* out;  // [tokens, hidden]
};

// out[t, r] = sum_i x[t, i] * W[r, i] (+ bias[r]) (+ out[t, r] if accumulate)
struct MatmulArgs {
  WeightView weight;  // experts == 1
  Activation x;
  const float* bias = nullptr;  // [rows] or null
  bool accumulate = false;
  float* out;              // [tokens, rows]; the result of x's token t goes
  RowMap out_rows;         // to row out_rows[t],
  int64_t out_stride = 0;  // rows apart by this many elements; 0: weight.rows
};

// Equal matrices that need not lie together, such as one projection of every expert of a layer.
struct MatrixStack {
  WeightView matrix;                        // matrix 0; its format and sizes are those of all
  int64_t n = 0;                            // matrices
  const uint8_t* const* codes = nullptr;    // [n], as WeightView::codes
  const uint16_t* const* gains = nullptr;   // [n], as WeightView::gains; null without scales
  WeightView operator[](int64_t i) const {  // on the host only where the pointers are readable
    WeightView view = matrix;
    view.codes = codes[i];
    view.gains = gains == nullptr ? nullptr : gains[i];
    return view;
  }
};

enum class RouteScore : uint8_t { kSoftmax, kSigmoid };

constexpr int64_t kMaxExperts = 1024;
constexpr int64_t kMaxTopK = 64;

// Which experts each token goes to. A (token, choice) pair has a number: pairs are sorted by
// expert, those of one expert by token, so that an expert's tokens are neighbours.
struct Routing {
  int32_t* experts;  // [tokens, top_k], best first
  float* weights;    // [tokens, top_k]
  int32_t* pairs;    // [tokens, top_k]: the pair's number
  int32_t* tokens;   // [pairs]: the pair's token
  int32_t* begin;    // [n_experts + 1]: expert e has pairs begin[e] .. begin[e + 1] - 1
};

// Chooses the top_k experts with the largest score + selection_bias (of equals the lower number).
// With n_groups > 1 only experts of the top_groups groups with the largest sums of their two best
// are eligible (DeepSeek V3). A choice weighs its score, without the bias; over the sum of the
// chosen if normalize; times scale and expert_scale.
struct RouteArgs {
  const float* logits;  // [tokens, n_experts]
  int64_t tokens;
  int64_t n_experts;  // at most kMaxExperts
  int64_t top_k;      // at most kMaxTopK
  RouteScore score;
  int64_t n_groups = 1;
  int64_t top_groups = 1;
  const float* selection_bias = nullptr;  // [n_experts] or null
  const float* expert_scale = nullptr;    // [n_experts] or null
  bool normalize = true;
  float scale = 1;
  Routing out;
};

// out[p] = W_e x[r] for every pair p of every expert e; r is the pair's token, or the pair itself
// when x has a row for each pair.
struct ExpertMatmulArgs {
  MatrixStack weights;  // [n_experts]
  Activation x;
  const int32_t* begin;   // Routing::begin
  const int32_t* x_rows;  // Routing::tokens, or null: row p for pair p
  float* out;             // [pairs, rows]
  int64_t pairs = 0;      // begin[n_experts]; not read where that can be
};

// out[t, :] (+)= sum_k weights[t, k] * y[pairs[t, k], :], in the order of k.
struct CombineArgs {
  const float* y;  // [pairs, dim]
  Routing routing;
  int64_t tokens;
  int64_t top_k;
  int64_t dim;
  bool accumulate;
  float* out;  // [tokens, dim]
};

// out[t, h, :] = W_h x[t, h, :]: a matrix of its own for every head.
struct HeadMatmulArgs {
  MatrixStack weights;     // [heads]
  Activation x;            // [tokens * heads, in]
  float* out;              // [tokens, heads, rows], vectors apart by out_stride elements
  int64_t out_stride = 0;  // 0: weight rows
};

// out[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + eps) * weight, statistics in fp32 or better.
struct RmsNormArgs {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim] or null for 1; any "1 + w" is folded in at load
  float eps;
  int64_t rows;
  int64_t dim;
  float* out;          // may equal x
  int64_t stride = 0;  // of the rows of x and out, in elements; 0: dim
};

// cos/sin of position * inv_freq, computed in double, once a forward pass for each distinct rope.
struct RopeTableArgs {
  const int32_t* positions;  // [tokens]
  const float* inv_freq;     // [n_pairs]; 0 leaves a pair unrotated
  int64_t tokens;
  int64_t n_pairs;
  float* cos;  // [tokens, n_pairs]
  float* sin;
};

// Rotates in place the first 2 * n_pairs dims of each head: pairs (j, j + n_pairs), or (2j, 2j + 1)
// if interleaved.
struct RopeArgs {
  float* x;  // [tokens, heads, head_dim], tokens apart by token_stride elements
  int64_t tokens;
  int64_t heads;
  int64_t head_dim;  // elements from one head to the next
  int64_t token_stride;
  int64_t n_pairs;
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
};

// One layer's pages: keys [n_blocks, n_kv_heads, 16, k_dim], values [n_blocks, n_kv_heads, 16,
// v_dim]. Without a plane of their own (v null) values are the first v_dim elements of the keys, as
// in a latent cache.
struct KvLayerView {
  KvDType dtype = KvDType::kF16;
  int64_t n_blocks = 0;
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  void* k = nullptr;
  void* v = nullptr;
};

// Writes each token's key and value to its slot (block * 16 + offset).
struct KvStoreArgs {
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
  const float* k;  // [tokens, n_kv_heads, k_dim]
  const float* v;  // [tokens, n_kv_heads, v_dim]; unused when values are part of the keys
};

// The ragged batch as attention sees it: sequence s owns tokens [q_begin[s], q_begin[s+1]), the
// last of which is position kv_len[s] - 1; its pages are block_tables[s * max_blocks ...].
struct RaggedBatch {
  int64_t n_seqs;
  const int32_t* q_begin;  // [n_seqs + 1]
  const int32_t* kv_len;   // [n_seqs], this step's tokens included
  const int32_t* block_tables;
  int64_t max_blocks;
  // For backends that do not read the above on the host.
  int64_t tokens = 0;      // q_begin[n_seqs]
  int64_t max_kv_len = 0;  // at least the largest of kv_len
};

// Causal attention; softmax in fp32. Query head h reads kv head h / (n_heads / n_kv_heads). With a
// window w > 0 a query at t sees keys in (t - w, t]. Scores are scaled, then capped: cap * tanh(s /
// cap).
struct AttentionArgs {
  KvLayerView kv;
  RaggedBatch batch;
  const float* q;  // [tokens, n_heads, k_dim]
  int64_t n_heads;
  float scale;
  int64_t window;             // 0: none
  float softcap;              // 0: none
  float* out;                 // [tokens, n_heads, v_dim]
  void* workspace = nullptr;  // attention_bytes(...) of scratch
};

enum class Activate : uint8_t { kSilu, kGeluTanh, kGelu };

// out = activate(gate) * up, elementwise.
struct GluArgs {
  Activate activate;
  const float* gate;  // [tokens, width]
  const float* up;
  int64_t n;   // tokens * width
  float* out;  // may equal gate or up
};

// out = (a + b) * scale.
struct AddArgs {
  const float* a;
  const float* b;
  float scale = 1;
  int64_t n;
  float* out;  // may equal a or b
};

// x = cap * tanh(x / cap), in place.
struct SoftcapArgs {
  float* x;
  int64_t n;
  float cap;
};

// out[i, :] = x[rows[i], :]
struct GatherRowsArgs {
  const float* x;
  RowMap rows;
  int64_t n;
  int64_t dim;
  float* out;
  int64_t x_stride = 0;    // of the rows of x in elements; 0: dim
  int64_t out_stride = 0;  // likewise
};

// Compound operators: what lies between two products, and products that read the same input. A
// backend may run each in one pass.

// One addend of what a block of a layer returns: rows, or the weighted sum of a mixture's pairs
// (CombineArgs), by a norm of its own where there is a weight for it.
struct BlockResult {
  const float* x = nullptr;            // [tokens, dim], or with top_k [pairs, dim]
  int64_t top_k = 0;                   // of the mixture; 0: rows
  Routing routing{};                   // with top_k
  const float* norm_weight = nullptr;  // [dim] or null
};

constexpr int kMaxBlockResults = 2;

// residual = (residual + norm(sum of results)) * scale.
struct AddResultsArgs {
  BlockResult results[kMaxBlockResults];
  int n_results = 0;                   // 0: the residual stream stays as it is
  const float* norm_weight = nullptr;  // [dim] or null: the sum is added as it is
  float eps;
  float scale = 1;
  int64_t tokens;
  int64_t dim;
  float* residual;  // [tokens, dim]
  float* scratch;   // [2, tokens, dim]; may be written
};

// One reading of the residual stream: its rows after a norm, and those in the form a product reads.
struct NormedInput {
  const float* norm_weight;  // [dim]
  float* rows;               // [tokens, dim]
  PrepareArgs prepare;       // of `rows`
  Activation activation;     // result
};

constexpr int kMaxNormedInputs = 3;

// add_results, then the inputs of what comes next.
struct NextInputsArgs {
  AddResultsArgs add;
  NormedInput* inputs;  // [n_inputs], on the host
  int n_inputs;
};

// out = activate(gate x) * (up x), for a dense layer.
struct GatedMatmulArgs {
  WeightView gate;
  WeightView up;
  const float* gate_bias = nullptr;  // [rows] or null
  const float* up_bias = nullptr;
  Activation x;
  Activate activate;
  float* out;      // [tokens, rows]
  float* scratch;  // [tokens, rows]; may be written
};

// out[p] = activate(gate_e x) * (up_e x) for every pair p of every expert e, as in
// ExpertMatmulArgs.
struct GatedExpertsArgs {
  MatrixStack gate;
  MatrixStack up;
  Activation x;
  const int32_t* begin;
  const int32_t* x_rows;
  int64_t pairs;
  Activate activate;
  float* out;      // [pairs, rows]
  float* scratch;  // [pairs, rows]; may be written
};

// What lies between the projections and attention: norms of the heads, rotary embedding of queries
// and keys, and kv_store. Without keys (k null) the queries alone.
struct AttentionInputsArgs {
  float* q;     // [tokens, n_heads, head_dim], in place
  float* k;     // [tokens, n_kv_heads, head_dim]; may be written
  float* v;     // likewise
  bool v_is_k;  // values are what k holds at first; v may be written
  int64_t tokens;
  int64_t n_heads;
  int64_t head_dim;
  bool qk_norm;
  const float* q_norm;  // [head_dim] or null for 1
  const float* k_norm;
  bool v_norm;  // without a weight
  float eps;
  int64_t n_pairs;  // as in RopeArgs
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
};

// Latent attention's part between its projections and attention: each token's latent is normed and,
// with its rotated key behind it, stored; the rotated parts of the queries go behind the absorbed
// ones.
struct LatentInputsArgs {
  float* latent;             // [tokens, kv_rank + 2 * n_pairs]; may be written
  const float* latent_norm;  // [kv_rank]
  float eps;
  const float* q;  // [tokens, n_heads, nope_dim + 2 * n_pairs]
  int64_t nope_dim;
  float* query;  // [tokens, n_heads, kv_rank + 2 * n_pairs]: elements from kv_rank on are written
  int64_t tokens;
  int64_t n_heads;
  int64_t kv_rank;
  int64_t n_pairs;
  bool interleaved;
  const float* cos;  // [tokens, n_pairs]
  const float* sin;
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
};

// route() of the router's product with x.
struct RouterArgs {
  WeightView weight;  // [n_experts, in]
  Activation x;
  const float* bias;  // [n_experts] or null
  float* logits;      // [tokens, n_experts]; may be written
  RouteArgs route;    // its logits are not read
};

}  // namespace tq
