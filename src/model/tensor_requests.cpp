#include "model/tensor_requests.h"

#include <string_view>
#include <utility>

#include "base/error.h"

namespace tq {
namespace {

// A new layer kind is an overload of make() here.
class RequestBuilder {
 public:
  RequestBuilder(const ModelSpec& spec, const TensorNames& names, const TensorNames::Place& place)
      : spec_(spec), names_(names), place_(place) {}

  std::vector<TensorRequest> build(DecoderWeights& weights) {
    prefix_ = place_.body;
    matrix(names_.embedding, spec_.vocab, spec_.hidden, weights.embedding);
    weights.layers.resize(spec_.layers.size());
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      prefix_ = fmt::format("{}layers.{}.", place_.body, i);
      build_layer(spec_.layers[i], weights.layers[i]);
    }
    prefix_ = place_.body;
    norm(names_.final_norm, spec_.hidden, weights.final_norm);
    prefix_.clear();
    if (!spec_.tied_head) matrix(place_.head, spec_.vocab, spec_.hidden, weights.head.weight);
    return std::move(requests_);
  }

 private:
  void matrix(std::string_view name, int64_t rows, int64_t in, WeightView& target) {
    requests_.push_back({.name = fmt::format("{}{}.weight", prefix_, name),
                         .shape = {rows, in},
                         .matrix = &target});
  }
  void linear(std::string_view name, Shape shape, bool bias, Linear& target) {
    matrix(name, shape[0], shape[1], target.weight);
    if (!bias) return;
    requests_.push_back({.name = fmt::format("{}{}.bias", prefix_, name),
                         .shape = {shape[0]},
                         .vector = &target.bias});
  }
  void norm(std::string_view name, int64_t n, const float*& target) {
    requests_.push_back({.name = fmt::format("{}{}.weight", prefix_, name),
                         .shape = {n},
                         .vector = &target,
                         .offset = spec_.norm_weight_offset});
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
  }

  void make(const GqaSpec& spec, DecoderLayer& layer) {
    Gqa& gqa = layer.attention.emplace<Gqa>();
    gqa.spec = spec;
    const int64_t q_width = spec.n_heads * spec.head_dim;
    const int64_t kv_width = spec.n_kv_heads * spec.head_dim;
    linear(names_.q, {q_width, spec_.hidden}, spec.bias, gqa.q);
    linear(names_.k, {kv_width, spec_.hidden}, spec.bias, gqa.k);
    linear(names_.v, {kv_width, spec_.hidden}, spec.bias, gqa.v);
    linear(names_.o, {spec_.hidden, q_width}, spec.bias, gqa.o);
    if (!spec.qk_norm) return;
    norm(names_.q_norm, spec.head_dim, gqa.q_norm);
    norm(names_.k_norm, spec.head_dim, gqa.k_norm);
  }

  void make(const MlpSpec& spec, DecoderLayer& layer) {
    Mlp& mlp = layer.ffn.emplace<Mlp>();
    mlp.spec = spec;
    linear(names_.gate, {spec.width, spec_.hidden}, spec.bias, mlp.gate);
    linear(names_.up, {spec.width, spec_.hidden}, spec.bias, mlp.up);
    linear(names_.down, {spec_.hidden, spec.width}, spec.bias, mlp.down);
  }

  const ModelSpec& spec_;
  const TensorNames& names_;
  const TensorNames::Place& place_;
  std::string prefix_;
  std::vector<TensorRequest> requests_;
};

}  // namespace

std::vector<TensorRequest> request_tensors(const ModelSpec& spec, const TensorNames& names,
                                           const TensorNames::Place& place,
                                           DecoderWeights& weights) {
  return RequestBuilder(spec, names, place).build(weights);
}

}  // namespace tq
