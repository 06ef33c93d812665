// KvCache: the pages of every layer on one device. A page number means the same page in all layers
// of a group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/math.h"
#include "kernels/op_types.h"
#include "kernels/ops/kv.h"
#include "kv/host_pages.h"
#include "kv/pages.h"
#include "tensor/buffer.h"

namespace tq {

class Device;

// How a cache keeps keys and values.
struct KvOptions {
  KvFormatId format = default_kv_format();
  // Beside a compressed format, in near pages of 16-bit numbers (KvLayerView::near): the first
  // tokens of a sequence, and the last ones before each query, its own included.
  int64_t sinks = 4;
  int64_t tail = 128;
  // The first and the last layers that are kept as 16-bit numbers instead.
  int64_t skip_layers = 0;

  bool is_compressed() const { return kv_format_traits(format).is_compressed(); }
};

// All zeros for a layer that keeps nothing.
struct KvLayerShape {
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  bool v_in_k = false;  // values are the first v_dim elements of the keys
  int64_t group = 0;    // of KvLayout::windows
  int64_t from = -1;    // the layer whose keys and values it reads; -1: its own
  bool wide = false;    // kept as 16-bit numbers, whatever the cache's format
  bool near = false;    // has near pages besides, in KvLayout::near_group
  // fp32 numbers of the state that the layer keeps for each sequence instead of keys and values.
  int64_t state_floats = 0;

  // What the layer is kept in, in a cache of a format.
  KvFormatId format_in(KvFormatId cache) const { return wide ? default_kv_format() : cache; }
  // Bytes one token takes, near pages not counted.
  int64_t token_bytes(KvFormatId format) const;
  bool operator==(const KvLayerShape&) const = default;
};

// Throws kUnsupported, with the format's name and the layer, where layers cannot be kept in it:
// heads of a size that it has no codes for, values that are part of the keys (latents).
void check_kv_format(KvFormatId format, std::span<const KvLayerShape> layers);

// What sequences keep. Layers are in groups by their window: with one they need few tokens however
// long a sequence is (Pages).
struct KvLayout {
  std::vector<KvLayerShape> layers;
  std::vector<int64_t> windows = {0};  // of the groups; group 0 keeps everything
  int64_t max_step_tokens = 0;         // that are run at a time, of all sequences together
  KvOptions kv;                        // what the layers were planned for
  // The group of near pages, which the layers that have such share; 0: no layer has.
  int64_t near_group = 0;
  // The last group, of slots for the states of layers that keep one: a sequence has one slot, the
  // same in all these layers; 0: no layer keeps one. Its entry of `windows` means nothing.
  int64_t state_group = 0;

  // For sequences of at most max_context tokens; windows holds 0 for a layer without. Layers are in
  // group 0 where a window saves nothing. In a compressed format layers whose windows (without one:
  // max_context) are no longer than the tail are wide: all that they see is.
  static KvLayout plan(std::vector<KvLayerShape> layers, std::span<const int64_t> windows,
                       int64_t max_context, int64_t max_step_tokens, const KvOptions& kv = {});

  NearPages near_pages() const {
    return {.group = static_cast<size_t>(near_group),
            .n_sinks = near_group > 0 ? ceil_div(kv.sinks, kKvBlockTokens) : 0};
  }
  // Slots beside those of the sequences that run: for states that are kept when all of these do.
  static constexpr int64_t kSpareStates = 2;
  size_t states() const { return static_cast<size_t>(state_group); }
  // Pages of each group for n sequences that have n_pages of group 0 in all.
  std::vector<int64_t> pages_of(int64_t n_sequences, int64_t n_pages) const;
  // Of one sequence, over all layers.
  int64_t state_bytes() const;
  // Near pages and states included.
  int64_t size_bytes(KvFormatId format, std::span<const int64_t> n_pages) const;

 private:
  void plan_near(std::span<const int64_t> windows, int64_t max_context);
};

class KvCache : public PageMover {
 public:
  // Allocates n_pages[g] pages of 16 tokens for each layer of group g. Throws kOutOfMemory with the
  // size asked for, and what check_kv_format throws.
  KvCache(Device& device, const KvLayout& layout, KvFormatId format,
          std::span<const int64_t> n_pages);
  // Every layer keeps everything.
  KvCache(Device& device, std::span<const KvLayerShape> layers, KvFormatId format, int64_t n_pages)
      : KvCache(device,
                KvLayout{.layers = {layers.begin(), layers.end()}, .kv = {.format = format}},
                format, {&n_pages, 1}) {}
  int64_t n_pages(int64_t group = 0) const { return n_pages_[static_cast<size_t>(group)]; }
  int64_t size_bytes() const;
  const KvLayerView& layer(int64_t i) const { return views_[static_cast<size_t>(i)]; }
  const std::vector<KvLayerShape>& shapes() const { return shapes_; }
  int64_t n_layers() const { return static_cast<int64_t>(views_.size()); }
  // Differs between caches that exist at the same time.
  const void* identity() const { return views_.data(); }
  // Copies a page in all layers of a group.
  void copy_page(int64_t group, int32_t from, int32_t to);
  // Of a group: what a page holds in all its layers.
  int64_t page_bytes(size_t group) const;
  void save(size_t group, PageId page, std::byte* to) override;
  void load(size_t group, PageId page, const std::byte* from) override;

  // Bytes one token takes over all layers.
  static int64_t bytes_per_token(std::span<const KvLayerShape> layers, KvFormatId format);

 private:
  // With memory for the group's pages.
  KvLayerView make_view(const KvLayerShape& layer, KvFormatId format, int64_t group);
  // With memory for the layer's states in all slots of the group.
  void make_states(const KvLayerShape& layer, int64_t group, KvLayerView& view);

  Device& device_;
  std::vector<int64_t> n_pages_;  // of each group
  std::vector<KvLayerShape> shapes_;
  std::vector<Buffer> buffers_;
  std::vector<KvLayerView> views_;
  std::vector<KvLayerView> near_views_;  // of each layer, without planes where it has no near pages
  std::vector<std::vector<PagePlane>> planes_;  // of each group
};

}  // namespace tq
