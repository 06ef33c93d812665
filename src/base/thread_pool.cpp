#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"

namespace tq {
namespace {

constexpr int kSpins = 2000;  // about 20 us: the gap between two operators of a forward pass

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> generation{0};  // changes when a job starts
  std::atomic<bool> stop{false};

  // The running job.
  RangeFunction* function = nullptr;
  int64_t n = 0;
  int64_t grain = 1;
  std::atomic<int64_t> next{0};
  std::atomic<int> working{0};  // helper threads that have not finished the job
  std::mutex error_mutex;
  std::exception_ptr error;
  int64_t error_begin = 0;

  void work(int thread) {
    while (true) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      try {
        (*function)(begin, std::min(n, begin + grain), thread);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error || begin < error_begin) {
          error = std::current_exception();
          error_begin = begin;
        }
      }
    }
  }

  // Waits for the generation to change; false when the pool ends.
  bool wait(uint64_t& seen) {
    for (int i = 0; i < kSpins; ++i) {
      if (generation.load(std::memory_order_acquire) != seen || stop) break;
      pause_cpu();
    }
    if (generation.load(std::memory_order_acquire) == seen && !stop) {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return generation.load() != seen || stop.load(); });
    }
    if (stop) return false;
    seen = generation.load(std::memory_order_acquire);
    return true;
  }

  void end() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  void run(int thread) {
    uint64_t seen = 0;
    while (wait(seen)) {
      work(thread);
      working.fetch_sub(1, std::memory_order_release);
    }
  }
};

// A limit on threads (of a container, of the user) or on memory lets fewer be made than asked for:
// those do the work.
ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>()) {
  if (n_threads <= 0) n_threads = available_cpus();
  state_->threads.reserve(static_cast<size_t>(n_threads));  // nothing else may throw below
  for (int i = 1; i < n_threads; ++i) {
    try {
      state_->threads.emplace_back([state = state_.get(), i] { state->run(i); });
    } catch (const std::system_error& error) {
      warn("only {} of {} threads could be started: {}; --threads {} asks for no more", i,
           n_threads, error.what(), i);
      return;
    } catch (...) {
      state_->end();  // else the threads' destructors would end the process
      throw;
    }
  }
}

ThreadPool::~ThreadPool() { state_->end(); }

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::parallel_for(int64_t n, int64_t grain, RangeFunction function) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  State& state = *state_;
  if (state.threads.empty() || n <= grain) {
    for (int64_t begin = 0; begin < n; begin += grain) {
      function(begin, std::min(n, begin + grain), 0);
    }
    return;
  }
  state.function = &function;
  state.n = n;
  state.grain = grain;
  state.next = 0;
  state.error = nullptr;
  state.working.store(static_cast<int>(state.threads.size()), std::memory_order_relaxed);
  {
    const std::lock_guard lock(state.mutex);
    state.generation.fetch_add(1, std::memory_order_release);
  }
  state.wake.notify_all();
  state.work(0);
  for (int i = 0; state.working.load(std::memory_order_acquire) != 0; ++i) {
    if (i < kSpins) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) {
    return std::max(1u, std::thread::hardware_concurrency());
  }
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace tq
