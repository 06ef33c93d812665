#include "kv/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/allow_huge_allocations.h"
#include "support/expect_error.h"

namespace tq {
namespace {

constexpr KvLayerShape kLayers[] = {{3, 64, 32}, {1, 8, 8}};

std::unique_ptr<Backend> make_backend() {
  CpuOptions options;
  options.threads = 1;
  return make_cpu_backend(options);
}

TEST(KvCache, HasAPlaneOfKeysAndOneOfValuesForEachLayer) {
  const auto backend = make_backend();
  const KvCache cache(*backend, kLayers, KvDType::kF16, 5);
  EXPECT_EQ(cache.n_blocks(), 5);
  EXPECT_EQ(cache.n_layers(), 2);
  EXPECT_EQ(KvCache::bytes_per_token(kLayers, KvDType::kF16), 2 * (3 * 96 + 16));
  EXPECT_EQ(KvCache::bytes_per_token(kLayers, KvDType::kF32), 4 * (3 * 96 + 16));
  EXPECT_EQ(cache.size_bytes(), 5 * 16 * KvCache::bytes_per_token(kLayers, KvDType::kF16));
  const KvLayerView& view = cache.layer(0);
  EXPECT_EQ(view.dtype, KvDType::kF16);
  EXPECT_EQ(view.n_blocks, 5);
  EXPECT_EQ(view.n_kv_heads, 3);
  EXPECT_EQ(view.k_dim, 64);
  EXPECT_EQ(view.v_dim, 32);
  // The whole of each plane is ours (a sanitizer would object).
  std::memset(view.k, 1, 5 * 3 * 16 * 64 * 2);
  std::memset(view.v, 2, 5 * 3 * 16 * 32 * 2);
  EXPECT_EQ(static_cast<uint8_t*>(view.k)[5 * 3 * 16 * 64 * 2 - 1], 1);
  EXPECT_NE(cache.layer(1).k, view.k);
}

TEST(KvCache, SaysWhatDoesNotFit) {
  const auto backend = make_backend();
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"tokens", "bytes", "shorter context"}, [&] {
    const KvCache cache(*backend, kLayers, KvDType::kF32, int64_t{1} << 44);
  });
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"overflow"}, [&] {
    const KvCache cache(*backend, kLayers, KvDType::kF32, int64_t{1} << 56);
  });
}

}  // namespace
}  // namespace tq
