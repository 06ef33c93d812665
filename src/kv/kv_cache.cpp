#include "kv/kv_cache.h"

#include <algorithm>
#include <utility>

#include "backend/device.h"
#include "base/check.h"
#include "base/error.h"
#include "base/math.h"

namespace tq {
namespace {

// Pages that n tokens in a row touch at most, wherever they begin.
int64_t most_pages(int64_t n) { return n < 2 ? n : ceil_div(n - 1, kKvBlockTokens) + 1; }

}  // namespace

int64_t KvLayerShape::token_bytes(KvFormatId format) const {
  if (n_kv_heads == 0) return 0;
  const KvFormatTraits& traits = kv_format_traits(format_in(format));
  return n_kv_heads * (traits.keys.bytes(k_dim) + (v_in_k ? 0 : traits.values.bytes(v_dim)));
}

void check_kv_format(KvFormatId format, std::span<const KvLayerShape> layers) {
  const KvFormatTraits& traits = kv_format_traits(format);
  for (size_t i = 0; i < layers.size(); ++i) {
    const KvLayerShape& layer = layers[i];
    if (layer.n_kv_heads == 0) continue;
    if (traits.is_compressed() && layer.v_in_k) {
      fail(ErrorCode::kUnsupported,
           "a KV cache of {} cannot hold the latents of layer {} (latent attention): choose f16, "
           "bf16 or f32 with --kv-format",
           traits.name, i);
    }
    for (const auto& [vectors, dim] :
         {std::pair(&traits.keys, layer.k_dim), std::pair(&traits.values, layer.v_dim)}) {
      if (vectors->takes(dim)) continue;
      fail(ErrorCode::kUnsupported,
           "a KV cache of {} needs heads of a multiple of 32 numbers, and layer {} has {}: choose "
           "f16, bf16 or f32 with --kv-format",
           traits.name, i, dim);
    }
  }
}

KvLayout KvLayout::plan(std::vector<KvLayerShape> layers, std::span<const int64_t> windows,
                        int64_t max_context, int64_t max_step_tokens, const KvOptions& kv) {
  KvLayout layout{.layers = std::move(layers), .max_step_tokens = max_step_tokens, .kv = kv};
  const int64_t all = ceil_div(max_context, kKvBlockTokens);
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    if (windows[i] == 0 || layout.layers[i].n_kv_heads == 0) continue;
    // A step's first token sees a window back while its last one is written.
    if (most_pages(windows[i] + max_step_tokens - 1) >= all) continue;
    const auto known = std::find(layout.windows.begin(), layout.windows.end(), windows[i]);
    layout.layers[i].group = known - layout.windows.begin();
    if (known == layout.windows.end()) layout.windows.push_back(windows[i]);
  }
  if (kv.is_compressed()) layout.plan_near(windows, max_context);
  if (layout.state_bytes() > 0) {
    layout.state_group = static_cast<int64_t>(layout.windows.size());
    layout.windows.push_back(1);
  }
  return layout;
}

// A cache that several layers read is kept as all of them need it.
void KvLayout::plan_near(std::span<const int64_t> windows_of_layers, int64_t max_context) {
  const auto n_layers = static_cast<int64_t>(layers.size());
  std::vector<bool> sees_more(layers.size(), false);  // than the tail, through any reader
  for (int64_t i = 0; i < n_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    const auto from = static_cast<size_t>(layers[at].from < 0 ? i : layers[at].from);
    const int64_t window = windows_of_layers[at];
    if ((window == 0 ? max_context : std::min(window, max_context)) > kv.tail)
      sees_more[from] = true;
    if (i < kv.skip_layers || i >= n_layers - kv.skip_layers) layers[from].wide = true;
  }
  bool any_near = false;
  for (size_t i = 0; i < layers.size(); ++i) {
    KvLayerShape& layer = layers[i];
    if (layer.n_kv_heads == 0) continue;
    layer.wide |= !sees_more[i];
    layer.near = !layer.wide && (kv.sinks > 0 || kv.tail > 0);
    any_near |= layer.near;
  }
  if (!any_near) return;
  near_group = static_cast<int64_t>(windows.size());
  windows.push_back(std::max<int64_t>(kv.tail, 1));  // 0 would be everything
}

std::vector<int64_t> KvLayout::pages_of(int64_t n_sequences, int64_t n_pages) const {
  std::vector<int64_t> pages;
  for (size_t g = 0; g < windows.size(); ++g) {
    const int64_t window = windows[g];
    if (g > 0 && g == static_cast<size_t>(state_group)) {
      pages.push_back(n_sequences + kSpareStates);
      continue;
    }
    if (window == 0) {
      pages.push_back(n_pages);
      continue;
    }
    const int64_t n_sinks = g == static_cast<size_t>(near_group) ? near_pages().n_sinks : 0;
    // Each sequence keeps a window and the page it writes; together they run max_step_tokens.
    const int64_t all_windows = n_sequences * (ceil_div(window - 1, kKvBlockTokens) + 2 + n_sinks) +
                                ceil_div(max_step_tokens, kKvBlockTokens);
    const int64_t all_alone = n_sequences * (most_pages(window + max_step_tokens - 1) + n_sinks);
    pages.push_back(std::min({all_windows, all_alone, n_pages}));
  }
  return pages;
}

int64_t KvLayout::state_bytes() const {
  int64_t floats = 0;
  for (const KvLayerShape& layer : layers) floats += layer.state_floats;
  return floats * int64_t{sizeof(float)};
}

int64_t KvLayout::size_bytes(KvFormatId format, std::span<const int64_t> n_pages) const {
  int64_t bytes = 0;
  for (const KvLayerShape& layer : layers) {
    bytes += layer.token_bytes(format) * n_pages[static_cast<size_t>(layer.group)];
    if (!layer.near) continue;
    bytes += layer.token_bytes(default_kv_format()) * n_pages[static_cast<size_t>(near_group)];
  }
  const int64_t n_states = state_group > 0 ? n_pages[static_cast<size_t>(state_group)] : 0;
  return bytes * kKvBlockTokens + state_bytes() * n_states;
}

KvCache::KvCache(Device& device, const KvLayout& layout, KvFormatId format,
                 std::span<const int64_t> n_pages)
    : device_(device),
      n_pages_(n_pages.begin(), n_pages.end()),
      shapes_(layout.layers),
      near_views_(layout.layers.size()),
      planes_(n_pages.size()) {
  check_kv_format(format, layout.layers);
  TQ_CHECK(format == layout.kv.format ||
               (!layout.kv.is_compressed() && !kv_format_traits(format).is_compressed()),
           "a cache of {} for layers that were planned for {}", kv_format_traits(format).name,
           kv_format_traits(layout.kv.format).name);
  const int64_t bytes = bytes_per_token(layout.layers, format);
  const int64_t most = *std::max_element(n_pages.begin(), n_pages.end());
  if (!checked_mul(bytes, most * kKvBlockTokens)) {
    fail(ErrorCode::kOutOfMemory, "a KV cache of {} pages overflows", most);
  }
  try {
    for (size_t i = 0; i < shapes_.size(); ++i) {
      const KvLayerShape& layer = shapes_[i];
      KvLayerView view = make_view(layer, layer.format_in(format), layer.group);
      if (layer.near) {
        near_views_[i] = make_view(layer, default_kv_format(), layout.near_group);
        view.near = &near_views_[i];
        view.sinks = layout.kv.sinks;
        view.tail = layout.kv.tail;
      }
      if (layer.state_floats > 0) make_states(layer, layout.state_group, view);
      views_.push_back(view);
    }
  } catch (const Error& e) {
    fail(ErrorCode::kOutOfMemory,
         "a KV cache for {} tokens needs {} bytes, more than there is memory for; choose a shorter "
         "context ({})",
         n_pages[0] * kKvBlockTokens, layout.size_bytes(format, n_pages), e.what());
  }
}

KvLayerView KvCache::make_view(const KvLayerShape& layer, KvFormatId format, int64_t group) {
  const KvVectorTraits& keys = kv_format_traits(format).keys;
  const KvVectorTraits& values = kv_format_traits(format).values;
  KvLayerView view{format, n_pages(group), layer.n_kv_heads, layer.k_dim, layer.v_dim};
  // Room for vectors of so many bytes; null for vectors of no bytes.
  const auto make_plane = [&](int64_t vector_bytes) -> uint8_t* {
    if (vector_bytes == 0) return nullptr;
    const auto page = static_cast<size_t>(view.n_kv_heads * kKvBlockTokens * vector_bytes);
    buffers_.push_back(device_.allocate(page * static_cast<size_t>(view.n_blocks)));
    planes_[static_cast<size_t>(group)].push_back({buffers_.back().data(), page});
    return buffers_.back().data();
  };
  const auto make_gains = [&](int64_t vector_bytes) {
    return reinterpret_cast<uint16_t*>(make_plane(vector_bytes));
  };
  if (layer.n_kv_heads == 0) return view;
  view.k = make_plane(keys.code_bytes(layer.k_dim));
  view.k_gains = make_gains(keys.gain_bytes(layer.k_dim));
  if (layer.v_in_k) return view;
  view.v = make_plane(values.code_bytes(layer.v_dim));
  view.v_gains = make_gains(values.gain_bytes(layer.v_dim));
  return view;
}

void KvCache::make_states(const KvLayerShape& layer, int64_t group, KvLayerView& view) {
  TQ_CHECK(group > 0, "a layer's states without a group of slots");
  const auto floats = checked_mul(layer.state_floats, n_pages(group));
  const auto bytes = floats ? checked_mul(*floats, int64_t{sizeof(float)}) : std::nullopt;
  if (!bytes) {
    fail(ErrorCode::kOutOfMemory, "states of {} numbers for {} sequences overflow",
         layer.state_floats, n_pages(group));
  }
  buffers_.push_back(device_.allocate(static_cast<size_t>(*bytes)));
  uint8_t* const memory = buffers_.back().data();
  planes_[static_cast<size_t>(group)].push_back(
      {memory, static_cast<size_t>(layer.state_floats) * sizeof(float)});
  view.state = reinterpret_cast<float*>(memory);
  view.state_floats = layer.state_floats;
}

int64_t KvCache::size_bytes() const {
  int64_t total = 0;
  for (const Buffer& buffer : buffers_) total += static_cast<int64_t>(buffer.size_bytes());
  return total;
}

void KvCache::copy_page(int64_t group, int32_t from, int32_t to) {
  for (const PagePlane& plane : planes_[static_cast<size_t>(group)]) {
    device_.copy(plane.first + static_cast<size_t>(from) * plane.page_bytes,
                 plane.first + static_cast<size_t>(to) * plane.page_bytes, plane.page_bytes);
  }
}

int64_t KvCache::page_bytes(size_t group) const {
  size_t bytes = 0;
  for (const PagePlane& plane : planes_[group]) bytes += plane.page_bytes;
  return static_cast<int64_t>(bytes);
}

void KvCache::save(size_t group, PageId page, std::byte* to) {
  device_.save_page(planes_[group], page, to);
}

void KvCache::load(size_t group, PageId page, const std::byte* from) {
  device_.load_page(planes_[group], page, from);
}

int64_t KvCache::bytes_per_token(std::span<const KvLayerShape> layers, KvFormatId format) {
  int64_t total = 0;
  for (const KvLayerShape& layer : layers) total += layer.token_bytes(format);
  return total;
}

}  // namespace tq
