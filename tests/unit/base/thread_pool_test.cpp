#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace tq {
namespace {

TEST(ThreadPool, VisitsEveryItemOnceWhateverTheSplit) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t n : {0, 1, 2, 7, 100, 1001}) {
      for (const int64_t grain : {-1, 0, 1, 3, 100, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
        auto visit = [&](int64_t begin, int64_t end, int thread) {
          EXPECT_LT(begin, end);
          EXPECT_GE(thread, 0);
          EXPECT_LT(thread, threads);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        };
        pool.parallel_for(n, grain, visit);
        for (const auto& count : visits) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(ThreadPool, ChunksStartAtMultiplesOfTheGrain) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    auto check = [](int64_t begin, int64_t end, int) {
      EXPECT_EQ(begin % 8, 0);
      EXPECT_EQ(end, std::min<int64_t>(begin + 8, 30));
    };
    pool.parallel_for(30, 8, check);
  }
}

TEST(ThreadPool, OneChunkRunsOnTheCaller) {
  ThreadPool pool(4);
  const auto caller = std::this_thread::get_id();
  int calls = 0;
  auto check = [&](int64_t begin, int64_t end, int thread) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 10);
    EXPECT_EQ(thread, 0);
    ++calls;
  };
  pool.parallel_for(10, 10, check);
  pool.parallel_for(10, std::numeric_limits<int64_t>::max(), check);
  EXPECT_EQ(calls, 2);
}

TEST(ThreadPool, AThreadNumberIsNeverUsedTwiceAtOnce) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  auto check = [&](int64_t, int64_t, int thread) {
    EXPECT_EQ(++inside[static_cast<size_t>(thread)], 1);
    --inside[static_cast<size_t>(thread)];
  };
  pool.parallel_for(5000, 1, check);
}

TEST(ThreadPool, RunsManyJobsInARow) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  auto add = [&](int64_t begin, int64_t end, int) { sum += end - begin; };
  for (int i = 0; i < 2000; ++i) pool.parallel_for(10, 1, add);
  EXPECT_EQ(sum, 20000);
}

TEST(ThreadPool, WakesParkedThreads) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  auto add = [&](int64_t begin, int64_t end, int) { sum += end - begin; };
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.parallel_for(10, 1, add);
  }
  EXPECT_EQ(sum, 30);
}

TEST(ThreadPool, RethrowsTheFirstPartsErrorAndGoesOn) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      auto fail_from_30 = [](int64_t begin, int64_t, int) {
        if (begin >= 30) throw std::runtime_error(std::to_string(begin));
      };
      try {
        pool.parallel_for(100, 10, fail_from_30);
        ADD_FAILURE() << "no error";
      } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "30");
      }
    }
    std::atomic<int64_t> sum{0};
    auto add = [&](int64_t begin, int64_t end, int) { sum += end - begin; };
    pool.parallel_for(100, 10, add);
    EXPECT_EQ(sum, 100);
  }
}

TEST(ThreadPool, AnIdlePoolUsesNoProcessor) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  auto add = [&](int64_t begin, int64_t end, int) { sum += end - begin; };
  pool.parallel_for(100, 1, add);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for threads that spin to park
  const std::clock_t before = std::clock();                    // of all threads of the process
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 50);
  EXPECT_EQ(sum, 100);
}

TEST(ThreadPool, TakesTheProcessorsThereAre) {
  EXPECT_GE(available_cpus(), 1);
  EXPECT_EQ(ThreadPool().size(), available_cpus());
  EXPECT_EQ(ThreadPool(-3).size(), available_cpus());
}

}  // namespace
}  // namespace tq
