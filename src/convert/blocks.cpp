#include "convert/blocks.h"

#include <time.h>

#include "format/encode_checks.h"
#include "io/non_finite.h"

namespace tq {

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<int64_t> find_bad(const TensorEntry& entry, int64_t row_begin,
                              std::span<const float> values, bool allow_nan) {
  std::vector<int64_t> bad;
  const auto n = static_cast<int64_t>(values.size());
  for (int64_t next = 0; next < n;) {
    const int64_t found = find_non_finite(values.data() + next, n - next);
    if (found < 0) break;
    next += found;
    if (!allow_nan) {
      refuse_non_finite(entry, row_begin * entry.in() + next, values[static_cast<size_t>(next)],
                        "; --allow-nan stores such weights as 0");
    }
    bad.push_back(next++);
  }
  return bad;
}

}  // namespace tq
