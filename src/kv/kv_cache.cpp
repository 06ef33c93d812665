#include "kv/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/math.h"

namespace tq {

KvLayout KvLayout::plan(std::vector<KvLayerShape> layers, std::span<const int64_t> windows,
                        int64_t max_context, int64_t max_step_tokens) {
  KvLayout layout{std::move(layers)};
  const int64_t widest = *std::max_element(windows.begin(), windows.end());
  // A step's first token sees a window back while its last one is written.
  const int64_t blocks = ceil_div(widest + max_step_tokens - 1, kKvBlockTokens);
  if (widest == 0 || blocks >= ceil_div(max_context, kKvBlockTokens)) return layout;
  layout.recent_blocks = blocks;
  for (size_t i = 0; i < layout.layers.size(); ++i) layout.layers[i].recent = windows[i] > 0;
  return layout;
}

int64_t KvLayout::recent_blocks_of(int64_t n_sequences, int64_t n_blocks) const {
  return std::min(n_sequences * recent_blocks, n_blocks);
}

int64_t KvLayout::size_bytes(KvDType dtype, int64_t n_blocks, int64_t n_recent_blocks) const {
  int64_t elements = 0;
  for (const KvLayerShape& layer : layers) {
    elements += layer.elements() * (layer.recent ? n_recent_blocks : n_blocks);
  }
  return elements * kKvBlockTokens * kv_dtype_bytes(dtype);
}

KvCache::KvCache(Backend& backend, const KvLayout& layout, KvDType dtype, int64_t n_blocks,
                 int64_t n_recent_blocks)
    : n_blocks_(n_blocks), n_recent_blocks_(n_recent_blocks), shapes_(layout.layers) {
  const int64_t bytes = bytes_per_token(layout.layers, dtype);
  if (!checked_mul(bytes, std::max(n_blocks, n_recent_blocks) * kKvBlockTokens)) {
    fail(ErrorCode::kOutOfMemory, "a KV cache of {} pages overflows", n_blocks);
  }
  const auto plane = [&](int64_t pages, int64_t heads, int64_t dim) -> void* {
    const int64_t size = pages * heads * kKvBlockTokens * dim * kv_dtype_bytes(dtype);
    try {
      buffers_.push_back(backend.allocate(static_cast<size_t>(size)));
    } catch (const Error& e) {
      fail(ErrorCode::kOutOfMemory,
           "a KV cache for {} tokens needs {} bytes, more than there is memory for; choose a "
           "shorter context ({})",
           n_blocks * kKvBlockTokens, layout.size_bytes(dtype, n_blocks, n_recent_blocks),
           e.what());
    }
    return buffers_.back().data();
  };
  for (const KvLayerShape& layer : shapes_) {
    const int64_t pages = layer.recent ? n_recent_blocks : n_blocks;
    KvLayerView view{dtype, pages, layer.n_kv_heads, layer.k_dim, layer.v_dim};
    if (layer.n_kv_heads > 0) view.k = plane(pages, layer.n_kv_heads, layer.k_dim);
    if (layer.n_kv_heads > 0 && !layer.v_in_k) {
      view.v = plane(pages, layer.n_kv_heads, layer.v_dim);
    }
    views_.push_back(view);
  }
}

int64_t KvCache::size_bytes() const {
  int64_t total = 0;
  for (const Buffer& buffer : buffers_) total += static_cast<int64_t>(buffer.size_bytes());
  return total;
}

int64_t KvCache::bytes_per_token(std::span<const KvLayerShape> layers, KvDType dtype) {
  int64_t total = 0;
  for (const KvLayerShape& layer : layers) {
    total += layer.elements() * kv_dtype_bytes(dtype);
  }
  return total;
}

}  // namespace tq
