// What encoding one text may cost. Tokenizers come from downloads, and a text may be anything:
// rules that multiply text, regexes that backtrack and tokens of a megabyte end with an error, not
// with a program that hangs. One object serves one call of encode; not thread safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tq {

class TextBudget {
 public:
  // For a text of this many bytes.
  explicit TextBudget(size_t bytes);

  // These throw kUnsupported past the limit: bytes that normalising made of the text, in its last
  // step and in all steps; nodes of tries and similar small steps; the time that regexes took.
  void made(size_t bytes);
  void work(size_t steps);
  // Bytes that made() still takes.
  size_t room() const { return made_left_; }
  // To be called between the matches of a regex. Time of this thread, so that a busy machine does
  // not matter; read only when a millisecond has passed.
  void check_time();

 private:
  size_t made_left_;
  size_t work_left_;
  double seconds_;
  int64_t next_look_ = 0;  // ns of a monotonic clock
  double begin_ = -1;      // of this thread's time; below 0: no regex has run
};

}  // namespace tq
