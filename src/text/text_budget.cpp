#include "text/text_budget.h"

#include <ctime>

#include "base/error.h"

namespace tq {
namespace {

int64_t nanoseconds(clockid_t clock) {
  std::timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

// Real tokenizers make at most 3 bytes of one, take a handful of steps a byte, and split ten
// megabytes a second: the limits are far above that, and below a second for 100 kB.
TextBudget::TextBudget(size_t bytes)
    : made_left_(16 * bytes + (size_t{64} << 10)),
      work_left_(1000 * bytes + (size_t{1} << 20)),
      seconds_(0.3 + 2e-6 * static_cast<double>(bytes)) {}

void TextBudget::made(size_t bytes) {
  if (bytes > made_left_) {
    fail(ErrorCode::kUnsupported,
         "tokenizer.json: its rules multiply this text beyond what is allowed (16 bytes a byte)");
  }
  made_left_ -= bytes;
}

void TextBudget::work(size_t steps) {
  if (steps > work_left_) {
    fail(ErrorCode::kUnsupported,
         "tokenizer.json: splitting this text takes more than 1000 steps a byte");
  }
  work_left_ -= steps;
}

void TextBudget::check_time() {
  constexpr int64_t kMillisecond = 1'000'000;
  const int64_t now = nanoseconds(CLOCK_MONOTONIC);
  if (now < next_look_) return;
  next_look_ = now + kMillisecond;
  const double used = 1e-9 * static_cast<double>(nanoseconds(CLOCK_THREAD_CPUTIME_ID));
  if (begin_ < 0) begin_ = used;
  if (used - begin_ > seconds_) {
    fail(ErrorCode::kUnsupported,
         "tokenizer.json: the regex of the pre_tokenizer takes too long on this text ({:.1f} s)",
         used - begin_);
  }
}

}  // namespace tq
