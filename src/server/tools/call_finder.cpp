#include "server/tools/call_finder.h"

#include <algorithm>
#include <utility>

#include "base/overlap.h"
#include "server/tools/read_text.h"

namespace tq {
namespace {

// Calls that are shorter are looked at whatever letter came.
constexpr size_t kAlwaysRead = 128;
// An answer with more openings that begin no call has none: reading each takes time.
constexpr size_t kMostFailed = 64;

}  // namespace

CallFinder::CallFinder(const ToolFormat& format, const Json& tools)
    : format_(format),
      tools_(tools),
      between_(std::string(kWhiteSpace).append(format.separators)) {}

std::vector<ToolPiece> CallFinder::push(std::string_view text) {
  held_ += text;
  may_end_ = text.find_first_of(format_.end_letters) != std::string_view::npos;
  std::vector<ToolPiece> pieces;
  while (advance(false, pieces)) {
  }
  return pieces;
}

std::vector<ToolPiece> CallFinder::finish() {
  std::vector<ToolPiece> pieces;
  while (advance(true, pieces)) {
  }
  if (!held_.empty() && !(after_call_ && held_.find_first_not_of(blanks()) == std::string::npos)) {
    give_text(held_.size(), pieces);
  }
  return pieces;
}

std::string_view CallFinder::blanks() const {
  return after_call_ ? std::string_view(between_) : kWhiteSpace;
}

size_t CallFinder::find_opening() const {
  if (n_failed_ >= kMostFailed) return std::string::npos;
  size_t first = std::string::npos;
  for (const std::string_view opening : format_.openings) {
    if (!opening.empty()) first = std::min(first, held_.find(opening, n_blank_));
  }
  if (!format_.first_opening.empty() && nothing_yet_) {
    const size_t begin = held_.find_first_not_of(blanks(), n_blank_);
    if (begin < first && std::string_view(held_).substr(begin).starts_with(format_.first_opening)) {
      first = begin;
    }
  }
  return first;
}

size_t CallFinder::n_overlap() const {
  if (n_failed_ >= kMostFailed) return 0;
  size_t most = 0;
  for (const std::string_view opening : format_.openings) {
    most = std::max(most, overlap_of(std::string_view(held_).substr(n_blank_), opening));
  }
  return most;
}

void CallFinder::drop(size_t n_bytes) {
  held_.erase(0, n_bytes);
  n_blank_ = 0;
  progress_.reset();
}

void CallFinder::give_text(size_t n_bytes, std::vector<ToolPiece>& pieces) {
  pieces.push_back({.text = held_.substr(0, n_bytes)});
  drop(n_bytes);
  nothing_yet_ = after_call_ = false;
}

bool CallFinder::advance(bool at_end, std::vector<ToolPiece>& pieces) {
  if (!progress_) {
    const size_t opening = find_opening();
    const bool found = opening != std::string::npos;
    const size_t end = found ? opening : held_.size() - n_overlap();
    const std::string_view before = std::string_view(held_).substr(n_blank_, end - n_blank_);
    const size_t n_text = before.find_last_not_of(blanks()) + 1;
    if (n_text > 0) {
      give_text(n_blank_ + n_text, pieces);
      return true;
    }
    n_blank_ = end;
    if (!found) return false;
    progress_.emplace();
  }
  return read_call(at_end, pieces);
}

bool CallFinder::read_call(bool at_end, std::vector<ToolPiece>& pieces) {
  const std::string_view text = std::string_view(held_).substr(n_blank_);
  if (!at_end && !may_end_ && text.size() > kAlwaysRead) return false;
  CallsRead read = format_.read(text, at_end, tools_, *progress_);
  if (read.kind == CallsRead::Kind::kMore && !at_end) return false;
  may_end_ = true;  // what is left was not looked at
  if (read.kind == CallsRead::Kind::kCalls) {
    drop(n_blank_ + read.n_bytes);
    for (ToolCall& call : read.calls) pieces.push_back({.call = std::move(call)});
    after_call_ = nothing_yet_ = true;
    return true;
  }
  ++n_failed_;
  give_text(n_blank_ + std::max<size_t>(read.n_bytes, 1), pieces);
  return true;
}

}  // namespace tq
