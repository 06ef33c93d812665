// Decoder: the arrays of a step, and how a batch is checked and laid out in them.
#include <algorithm>

#include "base/check.h"
#include "base/math.h"
#include "model/decoder.h"

namespace tq {
namespace {

// Lengths up to which a step is laid out: few, so that steps repeat.
int64_t length_bucket(int64_t length) {
  constexpr int64_t kShortest = 256;
  int64_t bucket = kShortest;
  while (bucket < length) bucket *= 2;
  return bucket;
}

bool in_cache(const std::vector<PageId>& pages, int64_t n_pages) {
  return std::all_of(pages.begin(), pages.end(),
                     [=](PageId page) { return page >= 0 && page < n_pages; });
}

}  // namespace

Decoder::BatchArrays Decoder::plan_batch(Workspace& workspace) const {
  const int64_t tokens = options_.max_batch_tokens;
  const int64_t sequences = options_.max_sequences;
  return {
      .ids = workspace.take<int32_t>(tokens),
      .positions = workspace.take<int32_t>(tokens),
      .slots = workspace.take<int64_t>(n_groups() * tokens),
      .q_begin = workspace.take<int32_t>(sequences + 1),
      .kv_len = workspace.take<int32_t>(sequences),
      .logit_rows = workspace.take<int32_t>(options_.max_logit_rows),
      .sample_rows = workspace.take<SampleRow>(backend_.samples() ? options_.max_logit_rows : 0),
      .near_begin = workspace.take<int32_t>(kv_.near_group > 0 ? sequences : 0),
      .states = workspace.take<int32_t>(kv_.state_group > 0 ? sequences : 0),
      .block_tables = workspace.take<int32_t>(n_groups() * sequences * max_blocks_)};
}

size_t Decoder::batch_bytes() const {
  Workspace measure;
  plan_batch(measure);
  return measure.peak_bytes();
}

// A cache that other layers read keeps its bias: they would have to know of it.
void Decoder::set_biases_apart() {
  if (!kv_.kv.is_compressed()) return;
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    auto* gqa = std::get_if<Gqa>(&weights_.layers[i].attention);
    if (gqa == nullptr || gqa->k.bias == nullptr || gqa->spec.qk_norm) continue;
    const bool has_readers = std::any_of(
        kv_.layers.begin(), kv_.layers.end(),
        [&](const KvLayerShape& layer) { return layer.from == static_cast<int64_t>(i); });
    gqa->key_bias_apart = !kv_.layers[i].wide && !has_readers;
  }
}

void Decoder::plan_angles(Workspace& workspace) {
  key_angles_.assign(ropes_.size(), {});
  n_angles_ = 0;
  for (const DecoderLayer& layer : weights_.layers) {
    const auto* gqa = std::get_if<Gqa>(&layer.attention);
    if (gqa == nullptr || !gqa->key_bias_apart) continue;
    const auto rope = static_cast<size_t>(gqa->spec.rope);
    KeyAngles& key = key_angles_[rope];
    if (key.stride > 0) continue;
    key.stride = round_up(2 * ropes_[rope].n_pairs, 16);
    key.angles = workspace.take<float>(max_blocks_ * kKvBlockTokens * key.stride);
  }
}

// Where the step's own tables are, which are made after this. Only the host's kernels read what
// pads the rows.
void Decoder::fill_angles(int64_t n_tokens) {
  const bool any = std::any_of(key_angles_.begin(), key_angles_.end(),
                               [](const KeyAngles& key) { return key.stride > 0; });
  if (!any) return;
  n_tokens = round_up(std::min(n_tokens, options_.max_context), kKvBlockTokens);
  while (n_angles_ < n_tokens) {
    const int64_t n = std::min(n_tokens - n_angles_, options_.max_batch_tokens);
    for (int64_t i = 0; i < n; ++i) host_.positions[i] = static_cast<int32_t>(n_angles_ + i);
    if (!backend_.on_host()) {
      backend_.upload(host_.positions, device_.positions,
                      static_cast<size_t>(n) * sizeof(*host_.positions));
    }
    for (size_t r = 0; r < ropes_.size(); ++r) {
      const KeyAngles& key = key_angles_[r];
      if (key.stride == 0) continue;
      const RopeTable& rope = ropes_[r];
      backend_.rope_table({.positions = device_.positions,
                           .inv_freq = inv_freqs_[r].as<float>().data(),
                           .tokens = n,
                           .n_pairs = rope.n_pairs,
                           .cos = rope.cos,
                           .sin = rope.sin,
                           .scale = spec_.ropes[r].scale});
      float* first = key.angles + n_angles_ * key.stride;
      for (const float* table : {rope.cos, rope.sin}) {
        backend_.gather_rows(
            {.x = table, .n = n, .dim = rope.n_pairs, .out = first, .out_stride = key.stride});
        first += rope.n_pairs;
      }
      for (int64_t i = 0; i < n && backend_.on_host(); ++i) {
        float* row = key.angles + (n_angles_ + i) * key.stride;
        std::fill(row + 2 * rope.n_pairs, row + key.stride, 0.0f);
      }
    }
    n_angles_ += n;
  }
}

void Decoder::check_cache(const KvCache& kv) const {
  TQ_CHECK(kv.n_layers() == static_cast<int64_t>(kv_.layers.size()),
           "a KV cache of {} layers for a model of {}", kv.n_layers(), kv_.layers.size());
  for (size_t i = 0; i < kv_.layers.size(); ++i) {
    TQ_CHECK(kv.shapes()[i] == kv_.layers[i], "the KV cache has another shape than layer {}", i);
  }
}

void Decoder::stage_sequence(const BatchSequence& sequence, int64_t index, Step& step) {
  const auto n = static_cast<int64_t>(sequence.token_ids.size());
  const int64_t length = sequence.first_position + n;
  TQ_CHECK(n > 0 && sequence.first_position >= 0, "sequence {} has {} tokens from {}", index, n,
           sequence.first_position);
  TQ_CHECK(length <= options_.max_context, "{} tokens exceed the context of {}", length,
           options_.max_context);
  TQ_CHECK(step.tokens + n <= options_.max_batch_tokens, "more than {} tokens in a batch",
           options_.max_batch_tokens);
  TQ_CHECK(sequence.pages != nullptr && sequence.pages->capacity_tokens() >= length,
           "the page table of sequence {} does not cover {} tokens", index, length);
  TQ_CHECK(sequence.pages->groups.size() == kv_.windows.size(),
           "sequence {} has pages in {} groups of {}", index, sequence.pages->groups.size(),
           kv_.windows.size());
  for (int64_t i = 0; i < n; ++i) {
    const int32_t id = sequence.token_ids[static_cast<size_t>(i)];
    if (id < 0 || id >= spec_.vocab) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id,
           spec_.vocab);
    }
    const int64_t position = sequence.first_position + i;
    host_.ids[step.tokens + i] = id;
    host_.positions[step.tokens + i] = static_cast<int32_t>(position);
    for (int64_t g = 0; g < n_groups(); ++g) {
      if (is_state(g)) continue;
      host_.slots[g * options_.max_batch_tokens + step.tokens + i] =
          kv_slot(*sequence.pages, position, static_cast<size_t>(g));
    }
  }
  host_.kv_len[index] = static_cast<int32_t>(length);
  step.tokens += n;
  host_.q_begin[index + 1] = static_cast<int32_t>(step.tokens);
}

void Decoder::check_pages(const BatchSequence& sequence, int64_t index, const KvCache& kv) const {
  for (int64_t g = 0; g < n_groups(); ++g) {
    const auto at = static_cast<size_t>(g);
    const PageTable::Group& group = sequence.pages->groups[at];
    TQ_CHECK(in_cache(group.pages, kv.n_pages(g)),
             "sequence {} has pages that are not in the cache", index);
    if (is_state(g)) {
      TQ_CHECK(group.pages.size() == 1, "sequence {} has {} states", index, group.pages.size());
      continue;
    }
    // Of near pages there may be fewer: what is not there is read from the others.
    const bool is_near = kv_.near_group > 0 && g == kv_.near_group;
    const int64_t first = is_near ? sequence.first_position / kKvBlockTokens
                                  : first_page_seen(sequence.first_position, kv_.windows[at]);
    TQ_CHECK(static_cast<int64_t>(group.pages.size()) * kKvBlockTokens >= host_.kv_len[index] &&
                 group.n_left <= first,
             "sequence {} lacks pages that it sees through a window of {}", index, kv_.windows[at]);
  }
}

// Pages that a window has left are never read: any page may stand in their place.
void Decoder::stage_pages(const BatchSequence& sequence, int64_t index, const Step& step) {
  const int64_t n_pages = ceil_div(host_.kv_len[index], kKvBlockTokens);
  if (kv_.near_group > 0) {
    host_.near_begin[index] = static_cast<int32_t>(
        sequence.pages->groups[static_cast<size_t>(kv_.near_group)].begin_tokens());
  }
  for (int64_t g = 0; g < n_groups(); ++g) {
    const std::vector<PageId>& pages = sequence.pages->groups[static_cast<size_t>(g)].pages;
    if (is_state(g)) {
      host_.states[index] = pages[0];
      continue;
    }
    std::copy_n(pages.begin(), n_pages,
                host_.block_tables + (g * step.batch.n_seqs + index) * step.batch.max_blocks);
  }
}

Step Decoder::stage(Batch batch, const KvCache& kv, int64_t n_logits) {
  check_cache(kv);
  Step step{.backend = backend_,
            .positions = device_.positions,
            .slots = device_.slots,
            .ropes = ropes_,
            .key_angles = key_angles_,
            .norm_eps = spec_.norm_eps,
            .activation = scratch_.activation,
            .side_activation = scratch_.side_activation,
            .attention = scratch_.attention};
  const auto n_seqs = static_cast<int64_t>(batch.size());
  TQ_CHECK(n_seqs > 0 && n_seqs <= options_.max_sequences, "{} sequences in a batch for {}", n_seqs,
           options_.max_sequences);
  int64_t most = 0;
  for (const BatchSequence& sequence : batch) {
    const auto n = static_cast<int64_t>(sequence.token_ids.size());
    most = std::max(most, sequence.first_position + n);
  }
  fill_angles(most);
  int64_t n_rows = 0;
  int64_t longest = 0;
  host_.q_begin[0] = 0;
  for (int64_t s = 0; s < n_seqs; ++s) {
    const BatchSequence& sequence = batch[static_cast<size_t>(s)];
    stage_sequence(sequence, s, step);
    longest = std::max<int64_t>(longest, host_.kv_len[s]);
    const auto n = static_cast<int64_t>(sequence.token_ids.size());
    TQ_CHECK(sequence.n_logits >= 0 && sequence.n_logits <= n &&
                 n_rows + sequence.n_logits <= options_.max_logit_rows,
             "{} rows of logits after {} others for {} tokens", sequence.n_logits, n_rows, n);
    for (int64_t i = sequence.n_logits; i > 0; --i) {
      host_.logit_rows[n_rows++] = static_cast<int32_t>(step.tokens - i);
    }
  }
  TQ_CHECK(n_rows == n_logits, "a result of {} rows for {} rows of logits", n_logits, n_rows);
  const int64_t max_kv_len = std::min(length_bucket(longest), options_.max_context);
  step.batch = {.n_seqs = n_seqs,
                .q_begin = device_.q_begin,
                .kv_len = device_.kv_len,
                .block_tables = device_.block_tables,
                .max_blocks = ceil_div(max_kv_len, kKvBlockTokens),
                .tokens = step.tokens,
                .max_kv_len = max_kv_len};
  if (kv_.near_group > 0) {
    step.near_slots = step.slots + kv_.near_group * options_.max_batch_tokens;
    step.batch.near_tables =
        step.batch.block_tables + kv_.near_group * n_seqs * step.batch.max_blocks;
    step.batch.near_begin = device_.near_begin;
  }
  if (kv_.state_group > 0) step.batch.states = device_.states;
  for (int64_t s = 0; s < n_seqs; ++s) {
    const BatchSequence& sequence = batch[static_cast<size_t>(s)];
    check_pages(sequence, s, kv);
    stage_pages(sequence, s, step);
  }
  if (!backend_.on_host()) {
    const auto* end = host_.block_tables + n_groups() * n_seqs * step.batch.max_blocks;
    const auto* begin = host_memory_.data();
    backend_.upload(begin, scratch_.batch,
                    static_cast<size_t>(reinterpret_cast<const uint8_t*>(end) - begin));
  }
  return step;
}

}  // namespace tq
