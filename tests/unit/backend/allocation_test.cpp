// No operator allocates. This file replaces the test program's operator new to count its calls, on
// all threads.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "unit/backend/backend_fixture.h"

namespace {

std::atomic<int64_t> g_allocations{0};

void* count_and_allocate(size_t size, size_t alignment) {
  ++g_allocations;
  const size_t rounded = (size + alignment) / alignment * alignment;  // never 0
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The array and nothrow forms call these. Not inlined: GCC would warn that free() releases what
// operator new returned.
[[gnu::noinline]] void* operator new(size_t size) {
  return count_and_allocate(size, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  return count_and_allocate(size, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace tq {
namespace {

TEST(Allocations, AreCounted) {
  const int64_t before = g_allocations;
  auto value = std::make_unique<int>(1);
  EXPECT_EQ(g_allocations - before, 1);
}

class OperatorAllocations : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Modes, OperatorAllocations, ::testing::Bool(),
                         [](const auto& mode) { return mode.param ? "exact" : "int8"; });

TEST_P(OperatorAllocations, AreNone) {
  CpuOptions options;
  options.threads = 3;
  options.exact = GetParam();
  const auto backend = make_cpu_backend(options);
  fixtures::OperatorRun operators;
  operators.reserve(*backend);
  operators.store_kv(*backend);
  const KvStoreArgs store = operators.kv_store_args();
  int64_t before = g_allocations;
  backend->kv_store(store);
  EXPECT_EQ(g_allocations - before, 0) << "kv_store";
  before = g_allocations;
  operators.run(*backend, [&](const char* name, const float* /*out*/, int64_t /*n*/) {
    EXPECT_EQ(g_allocations - before, 0) << name;
    before = g_allocations;
  });
}

}  // namespace
}  // namespace tq
