// A layer's KV cache as operators see it, and the arguments of what writes it; of pointers and
// matrices see rows.h.
#pragma once

#include <cstdint>

#include "kernels/op_types.h"

namespace tq {

// One layer's pages: keys [n_blocks, n_kv_heads, 16, k_dim], values [n_blocks, n_kv_heads, 16,
// v_dim]. Without a plane of their own (v null) values are the first v_dim elements of the keys, as
// in a latent cache.
struct KvLayerView {
  KvDType dtype = KvDType::kF16;
  int64_t n_blocks = 0;
  int64_t n_kv_heads = 0;
  int64_t k_dim = 0;
  int64_t v_dim = 0;
  void* k = nullptr;
  void* v = nullptr;
};

// Writes each token's key and value to its slot (block * 16 + offset).
struct KvStoreArgs {
  KvLayerView kv;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
  const float* k;  // [tokens, n_kv_heads, k_dim]
  const float* v;  // [tokens, n_kv_heads, v_dim]; unused when values are part of the keys
};

}  // namespace tq
