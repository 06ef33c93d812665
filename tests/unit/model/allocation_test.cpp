// forward() allocates nothing. This file replaces the global operator new of the test program and
// counts its calls while a forward pass runs, on every thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "unit/model/model_test_util.h"

namespace {

std::atomic<bool> g_counting{false};
std::atomic<int> g_allocations{0};

void* count_and_allocate(size_t size, size_t alignment) noexcept {
  if (g_counting.load(std::memory_order_relaxed)) ++g_allocations;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(std::max<size_t>(size, 1));
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* must(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// Every form, because sanitizers have their own of those that a program does not replace. The
// deletes are not inlined: g++ would take free() for a mismatch.
#define TQ_COUNT_NEW(NEW, DELETE)                                                               \
  void* operator NEW(size_t size) { return must(count_and_allocate(size, 1)); }                 \
  void* operator NEW(size_t size, const std::nothrow_t&) noexcept {                             \
    return count_and_allocate(size, 1);                                                         \
  }                                                                                             \
  void* operator NEW(size_t size, std::align_val_t alignment) {                                 \
    return must(count_and_allocate(size, static_cast<size_t>(alignment)));                      \
  }                                                                                             \
  void* operator NEW(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept { \
    return count_and_allocate(size, static_cast<size_t>(alignment));                            \
  }                                                                                             \
  [[gnu::noinline]] void operator DELETE(void* p) noexcept { std::free(p); }                    \
  [[gnu::noinline]] void operator DELETE(void* p, size_t) noexcept { std::free(p); }            \
  [[gnu::noinline]] void operator DELETE(void* p, std::align_val_t) noexcept { std::free(p); }  \
  [[gnu::noinline]] void operator DELETE(void* p, size_t, std::align_val_t) noexcept {          \
    std::free(p);                                                                               \
  }

TQ_COUNT_NEW(new, delete)
TQ_COUNT_NEW(new[], delete[])
#undef TQ_COUNT_NEW

namespace tq::test {
namespace {

int allocations_of(const std::function<void()>& function) {
  g_allocations = 0;
  g_counting = true;
  function();
  g_counting = false;
  return g_allocations;
}

class AllocationTest : public testing::TestWithParam<bool> {};

TEST_P(AllocationTest, ForwardAllocatesNothing) {
  for (const char* name :
       {"llama_bias_rope3", "gemma3", "gemma4_moe", "gemma4_e", "qwen3_moe", "glm4_moe_lite"}) {
    const Golden golden(name);
    LoadOptions options;
    options.format_for = [](const TensorEntry& entry) {
      return entry.name.find("mlp") == std::string::npos ? "" : "tq4";
    };
    Runner runner(*golden.checkpoint, /*exact=*/GetParam(), options);
    const PageTable a = runner.table({3, 1, 0});
    const PageTable b = runner.table({2, 5, 4});
    const std::span<const int32_t> tokens = golden.tokens;
    const std::vector<BatchSequence> prefill = {{tokens.first(30), 0, &a, 30},
                                                {tokens.first(17), 0, &b, 1}};
    const std::vector<BatchSequence> decode = {{tokens.subspan(30, 1), 30, &a, 1},
                                               {tokens.subspan(17, 1), 17, &b, 1}};
    const auto vocab = static_cast<size_t>(runner.model().spec().vocab);
    std::vector<float> logits(31 * vocab);
    const int allocations = allocations_of([&] {
      runner.model().forward(prefill, runner.kv(), logits);
      runner.model().forward(decode, runner.kv(), std::span(logits).first(2 * vocab));
    });
    EXPECT_EQ(allocations, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, AllocationTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "exact" : "int8"; });

// The counter itself works, for plain and for aligned memory.
TEST(AllocationCounter, Counts) {
  EXPECT_EQ(allocations_of([] {
              const std::vector<int> memory(100);
              const Buffer buffer(1000);
            }),
            2);
}

}  // namespace
}  // namespace tq::test
