// A layer's KV cache as operators see it, and the arguments of what writes it; of pointers and
// matrices see rows.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/kv_traits.h"
#include "kernels/op_types.h"

namespace tq {

// One layer's pages in a KV format (format/kv_traits.h): planes of codes [n_blocks, n_kv_heads, 16,
// code_bytes(k_dim) or (v_dim)], and where the format has gains, planes of these, likewise. Without
// planes of their own (v null) values are the first v_dim numbers of the keys, as in a latent
// cache.
struct KvLayerView {
  KvFormatId format{};
  int64_t n_blocks = 0;
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  void* k = nullptr;
  void* v = nullptr;
  uint16_t* k_gains = nullptr;
  uint16_t* v_gains = nullptr;
  // Beside a compressed format: the same layer's near pages, numbered by a block table of their
  // own, in which a query finds the first `sinks` tokens of its sequence and the `tail` tokens up
  // to its own as numbers of 16 bits. Null: all tokens are read from the pages above.
  const KvLayerView* near = nullptr;
  int64_t sinks = 0;
  int64_t tail = 0;
  // Of a layer that keeps a state for each sequence instead (n_kv_heads is 0): slot i is at
  // state + i * state_floats.
  float* state = nullptr;
  int64_t state_floats = 0;
};

// One plane of a layer's pages: page i is at first + i * page_bytes.
struct PagePlane {
  uint8_t* first;
  size_t page_bytes;
};

// Writes each token's key and value to its slot (block * 16 + offset).
struct KvStoreArgs {
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
  const float* k;  // [tokens, n_kv_heads, k_dim]
  const float* v;  // [tokens, n_kv_heads, v_dim]; unused when values are part of the keys
  const int64_t* near_slots = nullptr;  // [tokens], with kv.near
};

}  // namespace tq
