#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/overlap.h"

namespace tq {
std::string StopMatcher::push(std::string_view piece) {
  if (matched_) return "";
  held_ += piece;
  size_t first_end = std::string::npos;
  size_t begin = 0;
  size_t hold = 0;
  for (const std::string& stop : stops_) {
    hold = std::max(hold, overlap_of(held_, stop));
    const size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    const size_t end = at + stop.size();
    if (end < first_end || (end == first_end && at < begin)) {
      first_end = end;
      begin = at;
      matched_text_ = stop;
    }
  }
  matched_ = first_end != std::string::npos;
  std::string out = held_.substr(0, matched_ ? begin : held_.size() - hold);
  held_.erase(0, matched_ ? held_.size() : out.size());
  return out;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace tq
