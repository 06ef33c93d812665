#include "model/decoder.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/math.h"

namespace tq {
namespace {

// Room for a step's lists: that all sequences have seen every token they can, which next to their
// keys and values is nothing; at most 8 MiB. A step with longer lists is sampled on the host.
int64_t token_value_limit(const LoadOptions& options, int64_t vocab) {
  constexpr int64_t kMost = int64_t{1} << 20;
  return std::min(kMost, options.max_sequences * std::min(options.max_context, vocab));
}

}  // namespace

Decoder::Decoder(ModelSpec spec, DecoderWeights weights, Backend& backend, LoadOptions options)
    : spec_(std::move(spec)),
      weights_(std::move(weights)),
      backend_(backend),
      options_(std::move(options)) {
  if (options_.max_context == 0) options_.max_context = spec_.max_position;
  if (options_.max_logit_rows == 0) options_.max_logit_rows = options_.max_batch_tokens;
  TQ_CHECK(options_.max_batch_tokens > 0 && options_.max_sequences > 0, "empty limits");
  max_blocks_ = ceil_div(options_.max_context, kKvBlockTokens);
  kv_ = KvLayout::plan(spec_.kv_layers(), spec_.windows(), options_.max_context,
                       options_.max_batch_tokens, options_.kv);
  check_shared_layers();
  set_biases_apart();

  if (backend_.samples()) max_token_values_ = token_value_limit(options_, spec_.vocab);

  for (RopeSpec& rope : spec_.ropes) {
    if (!rope.long_inv_freq.empty() && options_.max_context > rope.short_positions) {
      rope.inv_freq = rope.long_inv_freq;
    }
    Buffer& table =
        inv_freqs_.emplace_back(backend_.allocate(rope.inv_freq.size() * sizeof(float)));
    backend_.upload(rope.inv_freq.data(), table.data(), table.size_bytes());
  }
  for (const DecoderLayer& layer : weights_.layers) {
    const auto requests = [](const float* norm) {
      return [norm](const auto& block) { return block.inputs(norm); };
    };
    input_requests_.push_back(std::visit(requests(layer.input_norm), layer.attention));
    input_requests_.push_back(std::visit(requests(layer.ffn_norm), layer.ffn));
  }
  Workspace measure;
  plan(measure);
  memory_ = backend_.allocate(measure.peak_bytes());
  Workspace workspace({memory_.data(), memory_.size_bytes()});
  plan(workspace);
  Workspace device_batch({scratch_.batch, batch_bytes()});
  device_ = plan_batch(device_batch);
  host_ = device_;
  if (backend_.on_host()) return;
  host_memory_ = backend_.allocate_host(batch_bytes());
  Workspace host_batch({host_memory_.data(), host_memory_.size_bytes()});
  host_ = plan_batch(host_batch);
}

void Decoder::plan(Workspace& workspace) {
  const int64_t tokens = options_.max_batch_tokens;
  scratch_.batch = workspace.take<uint8_t>(static_cast<int64_t>(batch_bytes()));
  scratch_.residual = workspace.take<float>(tokens * spec_.hidden);
  scratch_.block_out = workspace.take<float>(tokens * spec_.hidden);
  scratch_.added = workspace.take<float>(2 * tokens * spec_.hidden);
  scratch_.gathered = workspace.take<float>(options_.max_logit_rows * spec_.hidden);
  if (!backend_.on_host()) {
    scratch_.logits = workspace.take<float>(options_.max_logit_rows * spec_.vocab);
  }
  if (backend_.samples()) {
    scratch_.token_values = workspace.take<TokenValue>(max_token_values_);
    scratch_.tokens = workspace.take<int32_t>(options_.max_logit_rows);
    scratch_.masks = workspace.take<uint32_t>(options_.max_logit_rows * mask_words(spec_.vocab));
  }
  const auto activation_size = static_cast<int64_t>(activation_bytes());
  scratch_.activation = workspace.take<uint8_t>(activation_size);
  scratch_.side_activation = workspace.take<uint8_t>(activation_size);
  for (InputScratch& input : input_scratch_) {
    input.rows = workspace.take<float>(tokens * spec_.hidden);
    input.activation = workspace.take<uint8_t>(activation_size);
  }
  ropes_.clear();
  for (const RopeSpec& rope : spec_.ropes) {
    const auto n_pairs = static_cast<int64_t>(rope.inv_freq.size());
    float* cos = workspace.take<float>(tokens * n_pairs);
    float* sin = workspace.take<float>(tokens * n_pairs);
    ropes_.push_back({cos, sin, n_pairs, rope.interleaved});
  }
  plan_angles(workspace);
  if (weights_.per_layer_inputs) weights_.per_layer_inputs->plan(workspace, tokens);
  const size_t layer_begin = workspace.mark();
  for (DecoderLayer& layer : weights_.layers) {
    const auto plan_block = [&](auto& block) {
      workspace.rewind(layer_begin);  // no two blocks run at the same time
      block.plan(workspace, tokens);
    };
    std::visit(plan_block, layer.attention);
    std::visit(plan_block, layer.ffn);
    if (layer.per_layer_block) plan_block(*layer.per_layer_block);
  }
  workspace.rewind(workspace.peak_bytes());
  scratch_.attention = workspace.take<uint8_t>(static_cast<int64_t>(attention_bytes()));
}

size_t Decoder::attention_bytes() const {
  const RaggedBatch bounds{.n_seqs = options_.max_sequences,
                           .q_begin = nullptr,
                           .kv_len = nullptr,
                           .block_tables = nullptr,
                           .max_blocks = max_blocks_,
                           .tokens = options_.max_batch_tokens,
                           .max_kv_len = options_.max_context};
  size_t bytes = 0;
  for (size_t i = 0; i < kv_.layers.size(); ++i) {
    const KvLayerShape& shape = kv_.layers[static_cast<size_t>(kv_layer(static_cast<int64_t>(i)))];
    for (const KvFormatTraits& format : all_kv_formats()) {  // the cache comes later
      if (!backend_.has_kernels(format.id)) continue;
      const KvLayerView view{.format = format.id,
                             .n_kv_heads = shape.n_kv_heads,
                             .k_dim = shape.k_dim,
                             .v_dim = shape.v_dim};
      const auto bytes_of = [&](const auto& block) -> size_t {
        if constexpr (requires { block.attention_args(view, bounds); }) {
          return backend_.attention_bytes(block.attention_args(view, bounds));
        }
        return 0;  // no attention
      };
      bytes = std::max(bytes, std::visit(bytes_of, weights_.layers[i].attention));
    }
  }
  return bytes;
}

size_t Decoder::activation_bytes() const {
  const int64_t tokens = std::max(options_.max_batch_tokens, options_.max_logit_rows);
  size_t bytes = 0;
  for (const InputShape& input : weights_.inputs) {
    bytes = std::max(bytes, backend_.activation_bytes(tokens * input.rows_per_token,
                                                      input.in_padded, input.group, input.form));
  }
  return bytes;
}

void Decoder::forward(Batch batch, KvCache& kv, std::span<float> logits) {
  const int64_t n_rows = static_cast<int64_t>(logits.size()) / spec_.vocab;
  TQ_CHECK(static_cast<int64_t>(logits.size()) == n_rows * spec_.vocab,
           "{} floats for logits of {}", logits.size(), spec_.vocab);
  const Step step = stage(batch, kv, n_rows);
  float* out = backend_.on_host() ? logits.data() : scratch_.logits;
  run(step, kv, {n_rows, out});
  if (n_rows > 0 && !backend_.on_host()) {
    backend_.download(out, logits.data(), logits.size_bytes());
  }
}

void Decoder::next_tokens(Batch batch, KvCache& kv, const TokenChoice& choice,
                          std::span<int32_t> tokens) {
  const auto n_rows = static_cast<int64_t>(tokens.size());
  const auto n_values = static_cast<int64_t>(choice.lists.size());
  TQ_CHECK(static_cast<int64_t>(choice.rows.size()) == n_rows &&
               n_rows <= options_.max_logit_rows && n_values <= max_token_values_,
           "{} tokens of {} rows with {} values", n_rows, choice.rows.size(), n_values);
  std::copy(choice.rows.begin(), choice.rows.end(), host_.sample_rows);
  const Step step = stage(batch, kv, n_rows);
  if (n_values > 0) {
    backend_.upload(choice.lists.data(), scratch_.token_values, choice.lists.size_bytes());
  }
  const Rows rows = {n_rows, scratch_.logits, choice.n_tokens};
  if (choice.masks) {
    // Made while the device is at work; the kernel that needs them comes after, in no recording.
    run(step, kv, {n_rows, scratch_.logits});
    const std::span<const uint32_t> masks = choice.masks();
    TQ_CHECK(static_cast<int64_t>(masks.size()) <= n_rows * mask_words(choice.n_tokens),
             "masks of {} words for {} rows", masks.size(), n_rows);
    backend_.upload(masks.data(), scratch_.masks, masks.size_bytes());
    choose(rows);
  } else {
    run(step, kv, rows);
  }
  if (n_rows > 0) backend_.download(scratch_.tokens, tokens.data(), tokens.size_bytes());
}

void Decoder::exclude_tokens(std::span<const int32_t> ids) {
  excluded_ = backend_.allocate(ids.size_bytes());
  backend_.upload(ids.data(), excluded_.data(), ids.size_bytes());
}

// A step in which every sequence decodes one token is one of few kinds, and runs again and again.
void Decoder::run(const Step& step, const KvCache& kv, const Rows& rows) {
  const auto operators = [&] { run_operators(step, kv, rows); };
  const bool decodes = step.tokens == step.batch.n_seqs && rows.n == step.tokens;
  if (!decodes || observer_) return operators();
  uint64_t key = 0;
  for (const auto part : {step.tokens, step.batch.max_kv_len, rows.n_choose_from,
                          static_cast<int64_t>(reinterpret_cast<intptr_t>(kv.identity()))}) {
    key = (key ^ static_cast<uint64_t>(part)) * 0x9e3779b97f4a7c15u;
    key ^= key >> 32;
  }
  backend_.run_recorded(key, std::cref(operators));
}

void Decoder::run_operators(const Step& step, const KvCache& kv, const Rows& rows) {
  for (size_t i = 0; i < ropes_.size(); ++i) {
    backend_.rope_table({.positions = device_.positions,
                         .inv_freq = inv_freqs_[i].as<float>().data(),
                         .tokens = step.tokens,
                         .n_pairs = ropes_[i].n_pairs,
                         .cos = ropes_[i].cos,
                         .sin = ropes_[i].sin,
                         .scale = spec_.ropes[i].scale});
  }
  backend_.embed({.table = weights_.embedding,
                  .ids = device_.ids,
                  .tokens = step.tokens,
                  .scale = spec_.embed_scale,
                  .out = scratch_.residual});
  observe("embed", -1, scratch_.residual, step.tokens);
  if (weights_.per_layer_inputs) {
    weights_.per_layer_inputs->make(step, device_.ids, scratch_.residual);
  }
  const BlockInput last = end_layers(step, run_layers(step, kv), rows);
  if (rows.n == 0) return;
  run_head(step, last, rows);
  if (rows.n_choose_from > 0) choose(rows);
}

void Decoder::choose(const Rows& rows) {
  backend_.sample({.logits = rows.logits,
                   .n_rows = rows.n,
                   .stride = spec_.vocab,
                   .n = rows.n_choose_from,
                   .rows = device_.sample_rows,
                   .lists = scratch_.token_values,
                   .out = scratch_.tokens,
                   .excluded = excluded_.as<int32_t>().data(),
                   .n_excluded = static_cast<int64_t>(excluded_.as<int32_t>().size()),
                   .masks = scratch_.masks});
}

void Decoder::check_shared_layers() const {
  const std::vector<int64_t> windows = spec_.windows();
  for (size_t i = 0; i < windows.size(); ++i) {
    const auto from = static_cast<size_t>(kv_layer(static_cast<int64_t>(i)));
    const int64_t kept = kv_.windows[static_cast<size_t>(kv_.layers[from].group)];
    TQ_CHECK(kept == 0 || (windows[i] > 0 && windows[i] <= kept),
             "layer {} looks {} tokens back in the cache of layer {}, which keeps {}", i,
             windows[i], from, kept);
  }
}

// The layer whose pages a layer's attention reads.
int64_t Decoder::kv_layer(int64_t layer) const {
  const int64_t from = kv_.layers[static_cast<size_t>(layer)].from;
  return from < 0 ? layer : from;
}

BlockInputs Decoder::next_inputs(const Step& step, const AddResultsArgs& add,
                                 InputRequests requests) {
  NormedInput inputs[kMaxNormedInputs];
  for (size_t i = 0; i < requests.size(); ++i) {
    const InputScratch& scratch = input_scratch_[i];
    const WeightView& reader = *requests[i].reader;
    inputs[i] = {.norm_weight = requests[i].norm_weight,
                 .rows = scratch.rows,
                 .prepare = {.x = scratch.rows,
                             .tokens = step.tokens,
                             .in = reader.in,
                             .in_padded = reader.in_padded,
                             .group = reader.group,
                             .form = reader.traits().input,
                             .storage = scratch.activation},
                 .activation = {}};
  }
  backend_.next_inputs({add, inputs, static_cast<int>(requests.size())});
  for (size_t i = 0; i < requests.size(); ++i) inputs_[i] = {inputs[i].rows, inputs[i].activation};
  return {inputs_, requests.size()};
}

AddResultsArgs Decoder::joining(const Step& step, const BlockResults& results,
                                const BlockEnd& end) const {
  AddResultsArgs args{.results = {},
                      .n_results = results.n,
                      .norm_weight = end.post_norm,
                      .eps = step.norm_eps,
                      .scale = end.scale,
                      .tokens = step.tokens,
                      .dim = spec_.hidden,
                      .residual = scratch_.residual,
                      .scratch = scratch_.added};
  std::copy_n(results.results, results.n, args.results);
  return args;
}

Step Decoder::group_step(const Step& step, int64_t group) const {
  Step seen = step;
  seen.slots += group * options_.max_batch_tokens;
  seen.batch.block_tables += group * step.batch.n_seqs * step.batch.max_blocks;
  return seen;
}

// What the last layer returns is not yet added.
AddResultsArgs Decoder::run_layers(const Step& step, const KvCache& kv) {
  AddResultsArgs add = joining(step, {}, {});
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const DecoderLayer& layer = weights_.layers[i];
    const auto index = static_cast<int64_t>(i);
    BlockInputs x = next_inputs(step, add, input_requests_[2 * i]);
    if (i > 0) observe("ffn", index - 1, scratch_.residual, step.tokens);
    const int64_t pages = kv_layer(index);
    const Step seen = group_step(step, kv_.layers[static_cast<size_t>(pages)].group);
    const auto attend = [&](const auto& kind) {
      return kind.run(seen, kv.layer(pages), x, scratch_.block_out);
    };
    add = joining(step, std::visit(attend, layer.attention), {layer.post_attention_norm});
    x = next_inputs(step, add, input_requests_[2 * i + 1]);
    observe("attention", index, scratch_.residual, step.tokens);
    const auto feed_forward = [&](const auto& kind) {
      return kind.run(step, x, scratch_.block_out);
    };
    const BlockResults results = std::visit(feed_forward, layer.ffn);
    if (layer.per_layer_block) {
      backend_.add_results(joining(step, results, {layer.post_ffn_norm}));
      add = joining(step, run_per_layer_block(step, index),
                    {layer.per_layer_block->post_norm, layer.output_scale});
    } else {
      add = joining(step, results, {layer.post_ffn_norm, layer.output_scale});
    }
  }
  return add;
}

BlockResults Decoder::run_per_layer_block(const Step& step, int64_t index) {
  const PerLayerBlock& block = *weights_.layers[static_cast<size_t>(index)].per_layer_block;
  const float* vectors = weights_.per_layer_inputs->of_layer(step, index);
  block.run(step, scratch_.residual, vectors, scratch_.block_out);
  return {{{.x = scratch_.block_out}}, 1};
}

// The rows that the head reads: the wanted ones only, as it is the largest matrix of a small model.
// They take the same operators whether they are all or some of the step's: so their bits do not
// depend on what else is in it.
BlockInput Decoder::end_layers(const Step& step, const AddResultsArgs& add, const Rows& rows) {
  const InputRequest request{weights_.final_norm, &weights_.head.weight};
  const BlockInput all = next_inputs(step, add, {&request, 1})[0];
  observe("ffn", static_cast<int64_t>(weights_.layers.size()) - 1, scratch_.residual, step.tokens);
  if (rows.n == step.tokens) return all;
  if (rows.n == 0) return {};
  backend_.gather_rows({.x = scratch_.residual,
                        .rows = {device_.logit_rows},
                        .n = rows.n,
                        .dim = spec_.hidden,
                        .out = scratch_.gathered});
  Step wanted = step;
  wanted.tokens = rows.n;
  AddResultsArgs nothing = joining(wanted, {}, {});
  nothing.residual = scratch_.gathered;
  return next_inputs(wanted, nothing, {&request, 1})[0];
}

void Decoder::run_head(Step step, const BlockInput& x, const Rows& rows) {
  observe("norm", -1, x.rows, rows.n);
  step.tokens = rows.n;
  project(step, x, {{weights_.head, rows.logits}});
  if (spec_.final_softcap > 0) {
    backend_.softcap({.x = rows.logits, .n = rows.n * spec_.vocab, .cap = spec_.final_softcap});
  }
}

void Decoder::observe(std::string_view stage, int64_t layer, const float* values,
                      int64_t rows) const {
  if (!observer_) return;
  std::vector<float> host(static_cast<size_t>(rows * spec_.hidden));
  backend_.download(values, host.data(), host.size() * sizeof(float));
  observer_(stage, layer, host);
}

}  // namespace tq
