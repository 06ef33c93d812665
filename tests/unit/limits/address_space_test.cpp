// What is done where the address space is limited.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <string>

#include "base/host_memory.h"
#include "base/thread_pool.h"
#include "support/sanitized.h"

namespace tq {
namespace {

// Bytes of address space in use.
rlim_t address_space() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    rlim_t kilobytes = 0;
    if (word == "VmSize:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// A limit on threads cannot be set for a test that may run as root; one on the address space, which
// their stacks need, makes the same call fail with the same code.
TEST(ThreadPool, WorksWithFewerThreadsThanAskedFor) {
#ifdef TQ_SANITIZED
  GTEST_SKIP() << "sanitizers reserve terabytes of it: the release build runs this";
#endif
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  rlimit stack{};
  ASSERT_EQ(::getrlimit(RLIMIT_STACK, &stack), 0);
  const rlim_t stack_bytes = stack.rlim_cur == RLIM_INFINITY ? rlim_t{8} << 20 : stack.rlim_cur;
  rlimit tight = before;
  tight.rlim_cur = address_space() + 3 * stack_bytes + stack_bytes / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
  ::testing::internal::CaptureStderr();
  ThreadPool pool(200);
  const std::string said = ::testing::internal::GetCapturedStderr();
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_GE(pool.size(), 2);
  EXPECT_LT(pool.size(), 200);
  EXPECT_NE(said.find(fmt::format("only {} of 200 threads", pool.size())), std::string::npos)
      << said;
  std::atomic<int64_t> sum = 0;
  auto add = [&](int64_t begin, int64_t end, int thread) {
    EXPECT_LT(thread, pool.size());
    for (int64_t i = begin; i < end; ++i) sum += i;
  };
  pool.parallel_for(1000, 1, add);
  EXPECT_EQ(sum, 1000 * 999 / 2);
}

TEST(AvailableHostMemory, EndsWithTheAddressSpace) {
#ifdef TQ_SANITIZED
  GTEST_SKIP() << "sanitizers reserve terabytes of it: the release build runs this";
#endif
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  rlimit small = before;
  small.rlim_cur = rlim_t{8} << 30;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &small), 0);
  const int64_t available = available_host_memory();
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_LT(available, int64_t{8} << 30);
  EXPECT_GT(available, 0);
}

}  // namespace
}  // namespace tq
