// KvCache: the pages of every layer on one backend. A block number means the same page in all
// layers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "tensor/buffer.h"

namespace tq {

// All zeros for a layer that keeps nothing.
struct KvLayerShape {
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  bool v_in_k = false;  // values are the first v_dim elements of the keys
  bool recent = false;  // only the last tokens of a sequence are kept: KvLayout::recent_blocks

  // Elements one token takes.
  int64_t elements() const { return n_kv_heads * (k_dim + (v_in_k ? 0 : v_dim)); }
  bool operator==(const KvLayerShape&) const = default;
};

// What sequences keep. Layers with a sliding window need few tokens however long a sequence is:
// there its pages are a ring, in which page i of the sequence is page i % recent_blocks.
struct KvLayout {
  std::vector<KvLayerShape> layers;
  int64_t recent_blocks = 0;  // 0: no layer is `recent`

  // For sequences of at most max_context tokens that run at most max_step_tokens at a time; windows
  // holds 0 for a layer without. Layers keep everything where that is no more.
  static KvLayout plan(std::vector<KvLayerShape> layers, std::span<const int64_t> windows,
                       int64_t max_context, int64_t max_step_tokens);

  // Pages in the rings of n sequences that have n_blocks pages in all.
  int64_t recent_blocks_of(int64_t n_sequences, int64_t n_blocks) const;
  int64_t size_bytes(KvDType dtype, int64_t n_blocks, int64_t n_recent_blocks) const;
};

class KvCache {
 public:
  // Allocates n_blocks pages of 16 tokens for each layer, n_recent_blocks for those that are
  // `recent`. Throws kOutOfMemory with the size asked for.
  KvCache(Backend& backend, const KvLayout& layout, KvDType dtype, int64_t n_blocks,
          int64_t n_recent_blocks);
  // Every layer keeps everything.
  KvCache(Backend& backend, std::span<const KvLayerShape> layers, KvDType dtype, int64_t n_blocks)
      : KvCache(backend, {{layers.begin(), layers.end()}}, dtype, n_blocks, 0) {}
  int64_t n_blocks() const { return n_blocks_; }
  int64_t n_recent_blocks() const { return n_recent_blocks_; }
  int64_t size_bytes() const;
  const KvLayerView& layer(int64_t i) const { return views_[static_cast<size_t>(i)]; }
  const std::vector<KvLayerShape>& shapes() const { return shapes_; }
  int64_t n_layers() const { return static_cast<int64_t>(views_.size()); }
  // Differs between caches that exist at the same time.
  const void* identity() const { return views_.data(); }

  // Bytes one token takes over all layers.
  static int64_t bytes_per_token(std::span<const KvLayerShape> layers, KvDType dtype);

 private:
  int64_t n_blocks_;
  int64_t n_recent_blocks_;
  std::vector<KvLayerShape> shapes_;
  std::vector<Buffer> buffers_;
  std::vector<KvLayerView> views_;
};

}  // namespace tq
