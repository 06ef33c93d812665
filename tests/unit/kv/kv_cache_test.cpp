#include "kv/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "backend/backend.h"
#include "kv/pages.h"
#include "support/allow_huge_allocations.h"
#include "support/expect_error.h"
#include "support/kv_formats.h"

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
  const KvCache cache(*backend, kLayers, fixtures::kKvF16, 5);
  EXPECT_EQ(cache.n_pages(), 5);
  EXPECT_EQ(cache.n_layers(), 2);
  EXPECT_EQ(KvCache::bytes_per_token(kLayers, fixtures::kKvF16), 2 * (3 * 96 + 16));
  EXPECT_EQ(KvCache::bytes_per_token(kLayers, fixtures::kKvF32), 4 * (3 * 96 + 16));
  EXPECT_EQ(cache.size_bytes(), 5 * 16 * KvCache::bytes_per_token(kLayers, fixtures::kKvF16));
  const KvLayerView& view = cache.layer(0);
  EXPECT_EQ(view.format, fixtures::kKvF16);
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

TEST(KvCache, CopiesAPageInTheLayersOfItsGroup) {
  const auto backend = make_backend();
  const KvLayout layout{.layers = {{3, 64, 32}, {1, 8, 8, /*v_in_k=*/true, /*group=*/1}},
                        .windows = {0, 100}};
  KvCache cache(*backend, layout, fixtures::kKvF16, std::vector<int64_t>{5, 3});
  const size_t k_page = 3 * 16 * 64 * 2, v_page = 3 * 16 * 32 * 2, latent_page = 16 * 8 * 2;
  const auto bytes = [&](int64_t layer, bool values) {
    const KvLayerView& view = cache.layer(layer);
    return static_cast<uint8_t*>(values ? view.v : view.k);
  };
  std::memset(bytes(0, false), 0, 5 * k_page);
  std::memset(bytes(0, true), 0, 5 * v_page);
  std::memset(bytes(1, false), 0, 3 * latent_page);
  std::memset(bytes(0, false) + 4 * k_page, 1, k_page);
  std::memset(bytes(0, true) + 4 * v_page, 2, v_page);
  cache.copy_page(0, 4, 2);
  const std::vector<uint8_t> keys(k_page, 1), values(v_page, 2);
  EXPECT_EQ(std::memcmp(bytes(0, false) + 2 * k_page, keys.data(), k_page), 0);
  EXPECT_EQ(std::memcmp(bytes(0, true) + 2 * v_page, values.data(), v_page), 0);
  const std::vector<uint8_t> zeros(5 * k_page);
  EXPECT_EQ(std::memcmp(bytes(0, false), zeros.data(), 2 * k_page), 0);
  EXPECT_EQ(std::memcmp(bytes(0, false) + 3 * k_page, zeros.data(), k_page), 0);
  EXPECT_EQ(std::memcmp(bytes(1, false), zeros.data(), 3 * latent_page), 0);
  std::memset(bytes(1, false), 3, latent_page);
  cache.copy_page(1, 0, 2);
  EXPECT_EQ(std::memcmp(bytes(1, false) + 2 * latent_page, bytes(1, false), latent_page), 0);
  EXPECT_EQ(bytes(1, false)[latent_page], 0);
}

// Whatever chunks sequences run in and wherever they are, what they see through a window has room.
TEST(KvLayout, PagesOfWindowsAreEnough) {
  std::mt19937 random(1);
  const auto between = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  for (int round = 0; round < 3000; ++round) {
    const int64_t n_sequences = between(1, 6);
    const int64_t step = between(n_sequences, 100);
    const int64_t window = between(1, 100);
    const KvLayout layout{.windows = {0, window}, .max_step_tokens = step};
    int64_t used = 0;
    int64_t left = step;
    for (int64_t s = 0; s < n_sequences; ++s) {
      const int64_t at = between(0, 1000);
      const int64_t n = s + 1 == n_sequences ? left : between(0, left);
      left -= n;
      if (at + n > 0) used += (at + n - 1) / kKvBlockTokens + 1 - first_page_seen(at, window);
    }
    ASSERT_LE(used, layout.pages_of(n_sequences, 1'000'000)[1])
        << n_sequences << " sequences, steps of " << step << ", window " << window;
  }
}

TEST(KvLayout, HasAGroupForEachWindowThatSaves) {
  const KvLayerShape shape{1, 8, 8};
  const KvLayout layout = KvLayout::plan({shape, shape, shape, {}, shape, shape},
                                         std::vector<int64_t>{64, 0, 32, 8, 64, 900}, 1024, 16);
  EXPECT_EQ(layout.windows, (std::vector<int64_t>{0, 64, 32, 900}));
  std::vector<int64_t> groups;
  for (const KvLayerShape& layer : layout.layers) groups.push_back(layer.group);
  EXPECT_EQ(groups, (std::vector<int64_t>{1, 0, 2, 0, 1, 3})) << "nothing is kept by the fourth";
  EXPECT_EQ(KvLayout::plan({shape}, std::vector<int64_t>{900}, 900, 16).windows.size(), 1u);
  EXPECT_EQ(layout.pages_of(1, 64), (std::vector<int64_t>{64, 6, 4, 59}));
  EXPECT_EQ(layout.pages_of(1, 3), (std::vector<int64_t>{3, 3, 3, 3}));
}

// Of a compressed format: which layers stay 16-bit, and which have near pages.
TEST(KvLayout, PlansNearPagesAndWideLayers) {
  const KvFormatId k4v3 = find_kv_format("k4v3")->id;
  const KvLayerShape shape{2, 128, 128};
  const KvLayerShape reader{.from = 1};
  const auto planned = [&](const KvOptions& kv, const std::vector<int64_t>& windows) {
    return KvLayout::plan({shape, shape, shape, shape, reader}, windows, 4096, 64, kv);
  };
  const auto flags = [](const KvLayout& layout) {
    std::string text;
    for (const KvLayerShape& layer : layout.layers) {
      text += layer.wide ? 'w' : layer.near ? 'n' : '-';
    }
    return text;
  };
  const std::vector<int64_t> full = {0, 0, 0, 0, 0};
  EXPECT_EQ(flags(planned({.format = k4v3}, full)), "nnnn-");
  EXPECT_EQ(flags(planned({.format = fixtures::kKvF16}, full)), "-----");
  EXPECT_EQ(flags(planned({.format = k4v3, .sinks = 0, .tail = 0}, full)), "-----");
  EXPECT_EQ(flags(planned({.format = k4v3, .skip_layers = 1}, full)), "wwnn-")
      << "the last layer reads layer 1's cache";
  EXPECT_EQ(flags(planned({.format = k4v3}, {128, 128, 129, 0, 0})), "wnnn-")
      << "layer 1 has a reader that sees more than the tail";
  EXPECT_EQ(flags(planned({.format = k4v3, .tail = 4095}, full)), "nnnn-");
  EXPECT_EQ(flags(planned({.format = k4v3, .tail = 4096}, full)), "wwww-")
      << "the context is no longer than the tail";
  const KvLayout layout = planned({.format = k4v3, .sinks = 20}, {0, 0, 512, 0, 0});
  EXPECT_EQ(layout.windows, (std::vector<int64_t>{0, 512, 128}));
  EXPECT_EQ(layout.near_group, 2);
  EXPECT_EQ(layout.near_pages().n_sinks, 2);
  const std::vector<int64_t> pages = layout.pages_of(3, 768);
  EXPECT_EQ(pages[2], 3 * (8 + 2 + 2) + 4);
  // 116 bytes a head and token, and for near pages 512.
  EXPECT_EQ(layout.size_bytes(k4v3, pages),
            16 * 2 * (116 * (3 * pages[0] + pages[1]) + 512 * 4 * pages[2]));
  const auto backend = make_backend();
  KvCache cache(*backend, layout, k4v3, pages);
  EXPECT_EQ(cache.size_bytes(), layout.size_bytes(k4v3, pages));
  EXPECT_EQ(cache.page_bytes(2), 16 * 2 * 512 * 4);
  ASSERT_NE(cache.layer(2).near, nullptr);
  EXPECT_EQ(cache.layer(2).near->n_blocks, pages[2]);
  EXPECT_EQ(cache.layer(2).sinks, 20);
  EXPECT_EQ(cache.layer(2).tail, 128);
  const KvLayout wide = planned({.format = k4v3, .skip_layers = 3}, full);
  EXPECT_EQ(wide.near_group, 0) << "no layer has near pages";
  EXPECT_EQ(wide.windows.size(), 1u);
  EXPECT_EQ(wide.size_bytes(k4v3, std::vector<int64_t>{1}), 16 * 2 * 512 * 4);
}

TEST(KvCache, RefusesWhatAFormatCannotHold) {
  const KvFormatId k4v3 = find_kv_format("k4v3")->id;
  check_kv_format(k4v3, std::vector<KvLayerShape>{{3, 64, 32}, {}, {1, 96, 96}});
  check_kv_format(fixtures::kKvF16, std::vector<KvLayerShape>{{3, 80, 1}, {1, 8, 8, true}});
  fixtures::expect_error(ErrorCode::kUnsupported, {"k4v3", "layer 1", "80", "--kv-format"}, [&] {
    check_kv_format(k4v3, std::vector<KvLayerShape>{{3, 64, 32}, {1, 64, 80}});
  });
  fixtures::expect_error(ErrorCode::kUnsupported, {"k4v3", "latent", "layer 0"}, [&] {
    check_kv_format(k4v3, std::vector<KvLayerShape>{{1, 576, 512, /*v_in_k=*/true}});
  });
  const auto backend = make_backend();
  fixtures::expect_error(ErrorCode::kUnsupported, {"k4v3"},
                         [&] { const KvCache cache(*backend, kLayers, k4v3, 1); });
}

TEST(KvCache, SaysWhatDoesNotFit) {
  const auto backend = make_backend();
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"tokens", "bytes", "shorter context"}, [&] {
    const KvCache cache(*backend, kLayers, fixtures::kKvF32, int64_t{1} << 44);
  });
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"overflow"}, [&] {
    const KvCache cache(*backend, kLayers, fixtures::kKvF32, int64_t{1} << 56);
  });
}

}  // namespace
}  // namespace tq
