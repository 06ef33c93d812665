#include "model/tensor_requests.h"

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace tq {
namespace {

constexpr size_t kMaxMissing = 100'000;  // tensors of a hostile config that are still asked for

// The matrices of a stack are placed one by one, from one tensor or from many.
struct StackSlots {
  MatrixStack& stack;
  const uint8_t** codes;  // in device memory
  const uint16_t** gains;

  void place(int64_t i, const LoadedMatrix& host, const WeightLoading& loading,
             const std::string& name) const {
    const WeightView matrix = loading.place(host);
    if (stack.matrix.rows == 0) stack.matrix = matrix;
    const WeightView& first = stack.matrix;
    if (matrix.format != first.format || matrix.group != first.group ||
        matrix.in_padded != first.in_padded) {
      fail(ErrorCode::kUnsupported,
           "{} is stored as {}, the same matrix of another expert as {}: the experts of a layer "
           "must share a format",
           name, matrix.traits().name, first.traits().name);
    }
    loading.backend.upload(&matrix.codes, codes + i, sizeof(matrix.codes));
    loading.backend.upload(&matrix.gains, gains + i, sizeof(matrix.gains));
  }
};

StackSlots make_slots(MatrixStack& stack, int64_t n, Backend& backend, DecoderWeights& weights) {
  const auto bytes = static_cast<size_t>(n) * sizeof(void*);
  auto* codes = reinterpret_cast<const uint8_t**>(weights.own(backend.allocate(bytes)));
  auto* gains = reinterpret_cast<const uint16_t**>(weights.own(backend.allocate(bytes)));
  stack.n = n;
  stack.codes = codes;
  stack.gains = gains;
  return {stack, codes, gains};
}

// The format of absorbed keys: that of kv_b as it is stored, if that is plain. A compressed one is
// encoded again when it is transposed, and encoding twice at few bits would double the error: so at
// 8 bits, and where results are to be exact not at all.
const FormatTraits& absorbed_format(const FormatTraits& own, bool exact) {
  if (!own.has_scales) return own;
  if (exact) return *find_format("f32");
  return own.bits < 8 ? *find_format("tq8") : own;
}

// A new layer kind is an overload of make() here.
class RequestBuilder {
 public:
  RequestBuilder(const RequestContext& context, DecoderWeights& weights)
      : context_(context), spec_(context.spec), names_(context.names), weights_(weights) {}

  std::vector<TensorRequest> build() {
    prefix_ = context_.place.body;
    matrix(names_.embedding, {spec_.vocab, spec_.hidden}, weights_.embedding);
    if (!spec_.tied_head) requests_.back().read_part = 0;
    if (spec_.per_layer_input) make_per_layer_inputs(*spec_.per_layer_input);
    weights_.layers.resize(spec_.layers.size());
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      // So many are missing that more would only take memory.
      if (requests_.size() > context_.checkpoint.tensors().size() + kMaxMissing) break;
      prefix_ = fmt::format("{}layers.{}.", context_.place.body, i);
      build_layer(spec_.layers[i], weights_.layers[i]);
    }
    prefix_ = context_.place.body;
    norm(names_.final_norm, spec_.hidden, weights_.final_norm);
    prefix_.clear();
    if (!spec_.tied_head) {
      matrix(context_.place.head, {spec_.vocab, spec_.hidden}, weights_.head.weight);
    }
    return std::move(requests_);
  }

 private:
  using Bind = std::function<void(const LoadedMatrix&, const WeightLoading&)>;

  TensorRequest& add(std::string name, Shape shape) {
    return requests_.emplace_back(
        TensorRequest{.name = prefix_ + std::move(name), .shape = std::move(shape)});
  }
  TensorRequest& bound(std::string name, Shape shape, Bind bind) {
    TensorRequest& request = add(std::move(name), std::move(shape));
    request.bind = std::move(bind);
    return request;
  }
  TensorRequest& matrix(std::string_view name, Shape shape, WeightView& target) {
    return bound(fmt::format("{}.weight", name), std::move(shape),
                 [&target](const LoadedMatrix& matrix, const WeightLoading& loading) {
                   target = loading.place(matrix);
                 });
  }
  // A bias that is there is used, whatever the config says: it was trained.
  void linear(std::string_view name, Shape shape, bool bias, Linear& target) {
    const int64_t rows = shape[0];
    matrix(name, std::move(shape), target.weight);
    const std::string bias_name = fmt::format("{}.bias", name);
    if (!bias && !has(bias_name)) return;
    vector(bias_name, rows, target.bias).unannounced = !bias;
  }
  TensorRequest& vector(std::string name, int64_t n, const float*& target) {
    TensorRequest& request = add(std::move(name), {n});
    request.vector = &target;
    return request;
  }
  void norm(std::string_view name, int64_t n, const float*& target) {
    vector(fmt::format("{}.weight", name), n, target).map.offset = spec_.norm_weight_offset;
  }

  void make_per_layer_inputs(const PerLayerInputSpec& spec) {
    PerLayerInputs& inputs = weights_.per_layer_inputs.emplace();
    inputs.spec = spec;
    inputs.n_layers = static_cast<int64_t>(spec_.layers.size());
    inputs.hidden = spec_.hidden;
    const int64_t width = inputs.n_layers * spec.dim;
    matrix(names_.ple_embedding, {spec.vocab, width}, inputs.table).read_part = 0;
    linear(names_.ple_model_projection, {width, spec_.hidden}, false, inputs.projection);
    norm(names_.ple_projection_norm, spec.dim, inputs.norm);
  }

  void build_layer(const LayerSpec& spec, DecoderLayer& layer) {
    norm(names_.input_norm, spec_.hidden, layer.input_norm);
    std::visit([&](const auto& kind) { make(kind, layer); }, spec.attention);
    if (spec.post_attention_norm) {
      norm(names_.post_attention_norm, spec_.hidden, layer.post_attention_norm);
    }
    norm(names_.ffn_norm, spec_.hidden, layer.ffn_norm);
    std::visit([&](const auto& kind) { make(kind, layer); }, spec.ffn);
    if (spec.post_ffn_norm) norm(names_.post_ffn_norm, spec_.hidden, layer.post_ffn_norm);
    if (spec_.per_layer_input) {
      make_per_layer_block(*spec_.per_layer_input, layer.per_layer_block.emplace());
    }
    if (spec.output_scale) add(std::string(names_.output_scale), {1}).scalar = &layer.output_scale;
  }

  void make_per_layer_block(const PerLayerInputSpec& spec, PerLayerBlock& block) {
    block.spec = spec;
    linear(names_.ple_gate, {spec.dim, spec_.hidden}, false, block.gate);
    linear(names_.ple_projection, {spec_.hidden, spec.dim}, false, block.projection);
    norm(names_.ple_post_norm, spec_.hidden, block.post_norm);
  }

  // Matrices whose rows follow each other in one tensor.
  struct Part {
    int64_t rows;
    Linear& target;
  };
  void fused(std::string_view name, int64_t in, std::vector<Part> parts) {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    bound(fmt::format("{}.weight", name), {rows, in},
          [parts = std::move(parts)](const LoadedMatrix& all, const WeightLoading& loading) {
            int64_t first = 0;
            for (const Part& part : parts) {
              part.target.weight = loading.place(all.slice(first, part.rows));
              first += part.rows;
            }
          });
  }

  void make(const GqaSpec& spec, DecoderLayer& layer) {
    Gqa& gqa = layer.attention.emplace<Gqa>();
    gqa.spec = spec;
    if (!names_.qkv.empty()) return make_fused_attention(gqa);
    // Values of their own outrank the word that keys are values.
    const bool own_v = spec.v_is_k && !spec.kv_from && has(fmt::format("{}.weight", names_.v));
    if (own_v) gqa.spec.v_is_k = false;
    const int64_t q_width = spec.n_heads * spec.head_dim;
    const int64_t kv_width = spec.n_kv_heads * spec.head_dim;
    const int64_t q_rows = spec.output_gate ? 2 * q_width : q_width;
    linear(names_.q, {q_rows, spec_.hidden}, spec.bias, gqa.q);
    if (!spec.kv_from) linear(names_.k, {kv_width, spec_.hidden}, spec.bias, gqa.k);
    if (!spec.kv_from && !gqa.spec.v_is_k) {
      const size_t at = requests_.size();
      linear(names_.v, {kv_width, spec_.hidden}, spec.bias, gqa.v);
      requests_[at].unannounced = own_v;
    }
    linear(names_.o, {spec_.hidden, q_width}, spec.o_bias, gqa.o);
    if (spec.sinks) vector(std::string(names_.sinks), spec.n_heads, gqa.sink_scores);
    if (!spec.qk_norm) return;
    norm(names_.q_norm, spec.head_dim, gqa.q_norm);
    if (!spec.kv_from) norm(names_.k_norm, spec.head_dim, gqa.k_norm);
  }

  void make_fused_attention(Gqa& gqa) {
    const GqaSpec& spec = gqa.spec;
    const int64_t q_width = spec.n_heads * spec.head_dim;
    const int64_t kv_width = spec.n_kv_heads * spec.head_dim;
    fused(names_.qkv, spec_.hidden, {{q_width, gqa.q}, {kv_width, gqa.k}, {kv_width, gqa.v}});
    linear(names_.o, {spec_.hidden, q_width}, spec.o_bias, gqa.o);
  }

  void make(const MlaSpec& spec, DecoderLayer& layer) {
    Mla& mla = layer.attention.emplace<Mla>();
    mla.spec = spec;
    linear(names_.q_a, {spec.q_rank, spec_.hidden}, false, mla.q_a);
    norm(names_.q_a_norm, spec.q_rank, mla.q_a_norm);
    linear(names_.q_b, {spec.n_heads * (spec.nope_dim + spec.rope_dim), spec.q_rank}, false,
           mla.q_b);
    linear(names_.kv_a, {spec.kv_rank + spec.rope_dim, spec_.hidden}, false, mla.kv_a);
    norm(names_.kv_a_norm, spec.kv_rank, mla.kv_a_norm);
    make_latent_expansion(mla);
    linear(names_.o, {spec_.hidden, spec.n_heads * spec.v_dim}, false, mla.o);
  }

  // kv_b has nope_dim rows of keys, then v_dim rows of values, for each head.
  void make_latent_expansion(Mla& mla) {
    const MlaSpec& spec = mla.spec;
    const StackSlots keys = make_slots(mla.k_absorb, spec.n_heads, context_.backend, weights_);
    const StackSlots values = make_slots(mla.v_expand, spec.n_heads, context_.backend, weights_);
    const std::string name = fmt::format("{}.weight", names_.kv_b);
    const int64_t head_rows = spec.nope_dim + spec.v_dim;
    const bool exact = context_.backend.exact();
    const Bind bind = [&spec, name, keys, values, head_rows, exact](const LoadedMatrix& both,
                                                                    const WeightLoading& loading) {
      Buffer storage;
      const FormatTraits& format = absorbed_format(both.weight.traits(), exact);
      const WeightView transposed = loading.materializer.transposed_heads(
          both.weight, head_rows, spec.nope_dim, format, storage);
      DecoderWeights& weights = loading.weights;
      weights.add_input(transposed, spec.n_heads);
      weights.size_bytes += transposed.size_bytes();
      weights.bytes_per_token += transposed.size_bytes();
      for (int64_t head = 0; head < spec.n_heads; ++head) {
        keys.place(head, {transposed.expert(head)}, loading, name);
        values.place(head, both.slice(head * head_rows + spec.nope_dim, spec.v_dim), loading, name);
      }
      loading.keep(std::move(storage));
    };
    TensorRequest& request = bound(name, {spec.n_heads * head_rows, spec.kv_rank}, bind);
    request.on_host = true;
    request.rows_per_token = spec.n_heads;
    request.read_part = spec.v_dim;
    request.read_whole = head_rows;
  }

  void make(const DeltaNetSpec& spec, DecoderLayer& layer) {
    DeltaNet& net = layer.attention.emplace<DeltaNet>();
    net.spec = spec;
    const int64_t width = spec.n_heads * spec.v_dim;
    linear(names_.delta_qkv, {spec.conv_dim(), spec_.hidden}, false, net.qkv);
    linear(names_.delta_z, {width, spec_.hidden}, false, net.z);
    matrix(names_.delta_a, {spec.n_heads, spec_.hidden}, net.a.weight).plain = true;
    matrix(names_.delta_b, {spec.n_heads, spec_.hidden}, net.b.weight).plain = true;
    TensorRequest& conv =
        add(fmt::format("{}.weight", names_.delta_conv), {spec.conv_dim(), 1, spec.conv_width});
    conv.vector = &net.conv;
    conv.transposed = true;
    vector(std::string(names_.delta_a_log), spec.n_heads, net.a_log);
    vector(std::string(names_.delta_dt_bias), spec.n_heads, net.dt_bias);
    // Its weights are w, also where those of the others are w of (1 + w).
    vector(fmt::format("{}.weight", names_.delta_norm), spec.v_dim, net.norm);
    linear(names_.delta_out, {spec_.hidden, width}, false, net.o);
  }

  void make(const MlpSpec& spec, DecoderLayer& layer) { make_mlp(spec, layer.ffn.emplace<Mlp>()); }

  void make_mlp(const MlpSpec& spec, Mlp& mlp) {
    mlp.spec = spec;
    if (!names_.gate_up.empty()) {
      fused(names_.gate_up, spec_.hidden, {{spec.width, mlp.gate}, {spec.width, mlp.up}});
      return linear(names_.down, {spec_.hidden, spec.width}, spec.bias, mlp.down);
    }
    linear(names_.gate, {spec.width, spec_.hidden}, spec.bias, mlp.gate);
    linear(names_.up, {spec.width, spec_.hidden}, spec.bias, mlp.up);
    linear(names_.down, {spec_.hidden, spec.width}, spec.bias, mlp.down);
  }

  void make(const MoeSpec& spec, DecoderLayer& layer) { make_moe(spec, layer.ffn.emplace<Moe>()); }

  void make(const MlpMoeSpec& spec, DecoderLayer& layer) {
    MlpMoe& both = layer.ffn.emplace<MlpMoe>();
    both.spec = spec;
    make_mlp(spec.mlp, both.mlp);
    norm(names_.mlp_post_norm, spec_.hidden, both.mlp_post_norm);
    make_moe(spec.moe, both.moe);
    norm(names_.moe_pre_norm, spec_.hidden, both.moe_pre_norm);
    norm(names_.moe_post_norm, spec_.hidden, both.moe_post_norm);
  }

  void make_moe(const MoeSpec& spec, Moe& moe) {
    moe.spec = spec;
    moe.hidden = spec_.hidden;
    matrix(names_.router, {spec.n_experts, spec_.hidden}, moe.router.weight).plain = true;
    if (spec.router_norm) {
      const double root = std::sqrt(static_cast<double>(spec_.hidden));
      vector(std::string(names_.router_scale), spec_.hidden, moe.router_norm).map.factor =
          static_cast<float>(1 / root);
    }
    if (spec.selection_bias) {
      vector(std::string(names_.selection_bias), spec.n_experts, moe.selection_bias);
    }
    if (spec.expert_scale) {
      vector(std::string(names_.expert_scale), spec.n_experts, moe.expert_scale);
    }
    if (spec.bias) {
      vector(fmt::format("{}.bias", names_.router), spec.n_experts, moe.router.bias);
      expert_bias("gate", spec, spec.width, moe.gate_bias);
      expert_bias("up", spec, spec.width, moe.up_bias);
      expert_bias("down", spec, spec_.hidden, moe.down_bias);
    }
    make_experts(moe);
    if (spec.shared_width == 0) return;
    Mlp& shared = moe.shared.emplace();
    shared.spec = {.width = spec.shared_width, .activate = spec.activate};
    linear(names_.shared_gate, {spec.shared_width, spec_.hidden}, false, shared.gate);
    linear(names_.shared_up, {spec.shared_width, spec_.hidden}, false, shared.up);
    linear(names_.shared_down, {spec_.hidden, spec.shared_width}, false, shared.down);
    if (!spec.shared_gate) return;
    matrix(names_.shared_expert_gate, {1, spec_.hidden}, moe.shared_gate.weight).plain = true;
  }

  // Of one projection of all experts: [experts, dim].
  void expert_bias(std::string_view part, const MoeSpec& spec, int64_t dim, const float*& target) {
    TensorRequest& request =
        add(fmt::format("{}.{}_proj.bias", names_.experts, part), {spec.n_experts, dim});
    request.vector = &target;
    read_by_experts(spec, request);
  }

  bool has(const std::string& name) const {
    return context_.checkpoint.find(prefix_ + name) != nullptr;
  }

  // Experts lie in stacks, under the names of Hugging Face or vLLM, or each by itself.
  void make_experts(Moe& moe) {
    for (const auto& [gate_up, down] :
         {std::pair{"gate_up_proj", "down_proj"},
          std::pair{"gate_up_proj.weight", "down_proj.weight"},
          std::pair{"w13_weight", "w2_weight"}, std::pair{"w13", "w2"}}) {
      const std::string gate_up_name = fmt::format("{}.{}", names_.experts, gate_up);
      if (has(gate_up_name) && !moe.spec.bias) {  // theirs would be in none of these places
        return make_fused_experts(moe, gate_up_name, fmt::format("{}.{}", names_.experts, down));
      }
    }
    const auto stacked = [&](const char* part) {
      return fmt::format("{}.{}_proj.weight", names_.experts, part);
    };
    if (has(stacked("gate"))) {  // as GGUF files have them; Gemma 4's down_proj has no suffix
      const std::string down =
          has(stacked("down")) ? stacked("down") : fmt::format("{}.down_proj", names_.experts);
      make_stack(moe, moe.gate, stacked("gate"), {moe.spec.width, spec_.hidden}, 1);
      make_stack(moe, moe.up, stacked("up"), {moe.spec.width, spec_.hidden}, 1);
      return make_stack(moe, moe.down, down, {spec_.hidden, moe.spec.width}, moe.spec.top_k);
    }
    make_single_experts(moe, moe.gate, "gate_proj", {moe.spec.width, spec_.hidden}, 1);
    make_single_experts(moe, moe.up, "up_proj", {moe.spec.width, spec_.hidden}, 1);
    make_single_experts(moe, moe.down, "down_proj", {spec_.hidden, moe.spec.width}, moe.spec.top_k);
  }

  StackSlots expert_slots(MatrixStack& stack, const MoeSpec& spec) {
    return make_slots(stack, spec.n_experts, context_.backend, weights_);
  }
  static void read_by_experts(const MoeSpec& spec, TensorRequest& request) {
    request.read_part = spec.top_k;
    request.read_whole = spec.n_experts;
  }

  void make_fused_experts(Moe& moe, const std::string& gate_up_name, const std::string& down_name) {
    const MoeSpec& spec = moe.spec;
    const StackSlots gate = expert_slots(moe.gate, spec);
    const StackSlots up = expert_slots(moe.up, spec);
    const Bind bind_gate_up = [=](const LoadedMatrix& stack, const WeightLoading& loading) {
      const int64_t width = stack.weight.rows / 2;  // gate's rows, then up's
      for (int64_t e = 0; e < stack.weight.experts; ++e) {
        const LoadedMatrix both = stack.expert(e);
        gate.place(e, both.slice(0, width), loading, gate_up_name);
        up.place(e, both.slice(width, width), loading, gate_up_name);
      }
    };
    read_by_experts(
        spec, bound(gate_up_name, {spec.n_experts, 2 * spec.width, spec_.hidden}, bind_gate_up));
    make_stack(moe, moe.down, down_name, {spec_.hidden, spec.width}, spec.top_k);
  }

  // One projection of all experts in one tensor [experts, rows, in].
  void make_stack(const Moe& moe, MatrixStack& stack, const std::string& name, const Shape& shape,
                  int64_t rows_per_token) {
    const StackSlots slots = expert_slots(stack, moe.spec);
    const Bind bind = [slots, name](const LoadedMatrix& all, const WeightLoading& loading) {
      for (int64_t e = 0; e < all.weight.experts; ++e) slots.place(e, all.expert(e), loading, name);
    };
    TensorRequest& request = bound(name, {moe.spec.n_experts, shape[0], shape[1]}, bind);
    request.rows_per_token = rows_per_token;
    read_by_experts(moe.spec, request);
  }

  void make_single_experts(const Moe& moe, MatrixStack& stack, std::string_view projection,
                           const Shape& shape, int64_t rows_per_token) {
    const StackSlots slots = expert_slots(stack, moe.spec);
    for (int64_t e = 0; e < moe.spec.n_experts; ++e) {
      const std::string name = fmt::format("{}.{}.{}.weight", names_.experts, e, projection);
      TensorRequest& request =
          bound(name, shape, [=](const LoadedMatrix& matrix, const WeightLoading& loading) {
            slots.place(e, matrix, loading, name);
          });
      request.rows_per_token = rows_per_token;
      read_by_experts(moe.spec, request);
    }
  }

  const RequestContext& context_;
  const ModelSpec& spec_;
  const TensorNames& names_;
  DecoderWeights& weights_;
  std::string prefix_;
  std::vector<TensorRequest> requests_;
};

}  // namespace

std::vector<TensorRequest> request_tensors(const RequestContext& context, DecoderWeights& weights) {
  return RequestBuilder(context, weights).build();
}

}  // namespace tq
