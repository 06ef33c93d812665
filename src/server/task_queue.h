// TaskQueue: runs tasks on threads of its own, in the order they were added.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tq {

class TaskQueue {
 public:
  explicit TaskQueue(int n_threads);
  // As stop().
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  // Tasks must not throw. After stop() they are dropped.
  void add(std::function<void()> task);
  // Returns when what was added has run. Not from a task.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // the last: they use the others
};

}  // namespace tq
