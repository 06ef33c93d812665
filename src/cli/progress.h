// Progress: how far a long operation is, on stderr: a bar with rate and ETA on a terminal, plain
// lines with --progress plain, nothing when piped, off or quiet. Thread safe: any thread may
// update.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "cli/command.h"

namespace tq {

enum class ProgressUnit { kBytes, kItems };

class Progress {
 public:
  // unit_name is what is counted when unit is kItems: "tokens".
  Progress(const GlobalOptions& global, std::string label, ProgressUnit unit,
           std::string unit_name = "");
  ~Progress();  // finishes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // done of total so far; total may grow between calls. The rate counts from the first call.
  void update(int64_t done, int64_t total);
  // As update(), and a bar is shown at once: it is certain that this takes long.
  void begin(int64_t done, int64_t total);
  // Shows the last state and ends the line. Later updates are ignored.
  void finish();
  // As finish(), but a bar leaves nothing behind: what it stood for can be seen.
  void vanish();

 private:
  using Clock = std::chrono::steady_clock;
  void draw(bool last);

  const bool bar_;
  const bool lines_;
  const std::string label_;
  const ProgressUnit unit_;
  const std::string unit_name_;

  std::mutex mutex_;
  bool started_ = false;
  bool finished_ = false;
  bool drawn_ = false;
  int64_t first_done_ = 0;
  int64_t done_ = 0;
  int64_t total_ = 0;
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

}  // namespace tq
