#include "model/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/math.h"
#include "model/arch/registry.h"
#include "model/tensor_lookup.h"

namespace tq {
namespace {

void describe(const GqaSpec& gqa, LayerGroup& group) {
  group.attention = gqa.window > 0 ? "sliding" : "full";
  group.window = gqa.window;
  group.shared_kv = gqa.kv_from.has_value();
  group.n_heads = gqa.n_heads;
  group.n_kv_heads = gqa.n_kv_heads;
  group.head_dim = gqa.head_dim;
}

void describe(const MlaSpec& mla, LayerGroup& group) {
  group.attention = "latent";
  group.n_heads = mla.n_heads;
  group.n_kv_heads = 1;
  group.head_dim = mla.nope_dim + mla.rope_dim;
}

void describe(const DeltaNetSpec& net, LayerGroup& group) {
  group.attention = "delta rule";
  group.n_heads = net.n_heads;
  group.n_kv_heads = net.n_k_heads;
  group.head_dim = net.k_dim;
}

void describe(const MlpSpec& mlp, LayerGroup& group) { group.mlp_width = mlp.width; }

void describe(const MoeSpec& moe, LayerGroup& group) {
  group.mlp_width = moe.shared_width;
  group.n_experts = moe.n_experts;
  group.top_k = moe.top_k;
  group.expert_width = moe.width;
}

void describe(const MlpMoeSpec& both, LayerGroup& group) {
  describe(both.moe, group);
  describe(both.mlp, group);
}

LayerGroup describe(const LayerSpec& layer) {
  LayerGroup group;
  group.n_layers = 1;
  std::visit([&](const auto& kind) { describe(kind, group); }, layer.attention);
  std::visit([&](const auto& kind) { describe(kind, group); }, layer.ffn);
  return group;
}

bool same_kind(LayerGroup a, const LayerGroup& b) {
  a.n_layers = b.n_layers;
  return a == b;
}

// The layer whose keys and values layer i reads, and how far back.
KvUse kv_use(const ModelSpec& spec, size_t i) {
  KvUse use{.from = i};
  if (const auto* gqa = std::get_if<GqaSpec>(&spec.layers[i].attention)) {
    use.window = gqa->window;
    if (gqa->kv_from) use.from = static_cast<size_t>(*gqa->kv_from);
  }
  return use;
}

// The part of a tensor that a token passes through. A matrix that is read in several forms (MLA's
// kv_b) is read whole.
int64_t active_part(const TensorRequest& request, int64_t whole, std::string_view experts) {
  if (request.read_part == 0) return 0;
  const bool is_expert = request.name.find(experts) != std::string::npos;
  return is_expert ? whole * request.read_part / request.read_whole : whole;
}

}  // namespace

int64_t ModelSummary::kv_bytes_per_token(KvFormatId format) const {
  return KvCache::bytes_per_token(kv_shapes, format);
}

int64_t ModelSummary::kv_bytes(int64_t n_tokens, const KvOptions& options,
                               int64_t step_tokens) const {
  const KvLayout layout = kv_layout(n_tokens, options, step_tokens);
  return layout.size_bytes(options.format, layout.pages_of(1, ceil_div(n_tokens, kKvBlockTokens)));
}

KvLayout ModelSummary::kv_layout(int64_t n_tokens, const KvOptions& options,
                                 int64_t step_tokens) const {
  std::vector<int64_t> windows;
  for (const KvUse& use : kv) windows.push_back(use.window);
  return KvLayout::plan(kv_shapes, windows, n_tokens, step_tokens, options);
}

int64_t ModelSummary::kv_bytes_read(int64_t n_tokens, const KvOptions& options) const {
  const KvLayout layout = kv_layout(n_tokens, options, 1);
  int64_t bytes = 0;
  for (const KvUse& use : kv) {
    const KvLayerShape& shape = layout.layers[use.from];
    const int64_t seen = use.window > 0 ? std::min(use.window, n_tokens) : n_tokens;
    const int64_t sinks = use.window > 0 ? 0 : options.sinks;
    const int64_t near = shape.near ? std::min(seen, options.tail + sinks) : 0;
    bytes += shape.token_bytes(options.format) * (seen - near) +
             shape.token_bytes(default_kv_format()) * near;
  }
  if (n_tokens > 1) bytes += layout.state_bytes();
  return bytes;
}

ModelSummary summarize(const ModelSpec& spec) {
  ModelSummary summary;
  summary.arch = spec.arch;
  summary.hidden = spec.hidden;
  summary.vocab = spec.vocab;
  summary.max_position = spec.max_position;
  summary.tied_head = spec.tied_head;
  summary.n_layers = static_cast<int64_t>(spec.layers.size());
  const std::vector<KvLayerShape> shapes = spec.kv_layers();
  summary.kv_shapes = shapes;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerGroup group = describe(spec.layers[i]);
    const auto known =
        std::find_if(summary.layers.begin(), summary.layers.end(),
                     [&](const LayerGroup& other) { return same_kind(other, group); });
    if (known == summary.layers.end()) {
      summary.layers.push_back(group);
    } else {
      ++known->n_layers;
    }
    summary.kv.push_back(kv_use(spec, i));
  }
  return summary;
}

ModelSummary summarize(const Checkpoint& checkpoint) {
  const Architecture& arch = find_architecture(checkpoint);
  const ModelSpec spec = arch.make_spec(checkpoint);
  const TensorNames names = arch.tensor_names();
  ModelSummary summary = summarize(spec);
  const auto backend = make_cpu_backend({.threads = 1});
  DecoderWeights weights;  // stays without weights
  const std::string experts = fmt::format("{}.", names.experts);
  for (const TensorRequest& request : find_tensors(checkpoint, spec, names, *backend, weights)) {
    const TensorEntry& entry = *request.entry;
    summary.n_parameters += entry.n_elements();
    summary.active_parameters += active_part(request, entry.n_elements(), experts);
    summary.weight_bytes += entry.stored_bytes;
    summary.bytes_per_token += active_part(request, entry.stored_bytes, experts);
  }
  return summary;
}

}  // namespace tq
