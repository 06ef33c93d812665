// A fork-join pool: parallel_for() runs a function over [0, n) on all threads and returns when
// every part is done. One caller at a time; the calling thread works too. Threads spin briefly
// after a job, then park. Exceptions of a part are rethrown to the caller (the first by part order
// wins).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tq {

// A non-owning reference to a callable void(int64_t begin, int64_t end, int thread): allocates
// nothing.
class RangeFunction {
 public:
  template <typename F>
  RangeFunction(F& function)  // NOLINT(google-explicit-constructor)
      : object_(&function), call_([](void* object, int64_t begin, int64_t end, int thread) {
          (*static_cast<F*>(object))(begin, end, thread);
        }) {}
  void operator()(int64_t begin, int64_t end, int thread) const {
    call_(object_, begin, end, thread);
  }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int64_t, int);
};

class ThreadPool {
 public:
  // n_threads counts the caller; 0 means the number of CPUs this process may use. Where the system
  // does not allow so many, there are fewer (size() says how many), and a warning.
  explicit ThreadPool(int n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  // Splits [0, n) into chunks of `grain` items (at least 1), handed out in order as threads get
  // free. Results must not depend on which thread runs which chunk. Allocates nothing.
  void parallel_for(int64_t n, int64_t grain, RangeFunction function);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CPUs this process may run on (its affinity mask), at least 1.
int available_cpus();

}  // namespace tq
