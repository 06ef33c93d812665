#include "kv/host_pages.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "kv/prefix_index.h"

namespace tq {

HostPages::HostPages(Buffer memory, std::vector<int64_t> page_bytes)
    : memory_(std::move(memory)), page_bytes_(std::move(page_bytes)) {
  if (memory_.size_bytes() > 0) gaps_.emplace(0, memory_.size_bytes());
}

size_t HostPages::take(size_t n_bytes) {
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                                [n_bytes](const auto& one) { return one.second >= n_bytes; });
  if (gap == gaps_.end()) return kNowhere;
  const auto [offset, size] = *gap;
  gaps_.erase(gap);
  if (size > n_bytes) gaps_.emplace(offset + n_bytes, size - n_bytes);
  return offset;
}

void HostPages::give_back(size_t offset, size_t n_bytes) {
  auto gap = gaps_.emplace(offset, n_bytes).first;
  if (const auto next = std::next(gap); next != gaps_.end() && offset + n_bytes == next->first) {
    gap->second += next->second;
    gaps_.erase(next);
  }
  if (gap == gaps_.begin()) return;
  if (const auto before = std::prev(gap); before->first + before->second == offset) {
    before->second += gap->second;
    gaps_.erase(gap);
  }
}

uint64_t HostPages::hash_of(const Key& key) {
  return PrefixIndex::hash_after(key.before + key.group, key.tokens);
}

HostPages::Pages::const_iterator HostPages::look_up(const Key& key) const {
  const auto found = pages_.find(hash_of(key));
  if (found == pages_.end()) return found;
  const Page& page = found->second;
  const bool same =
      page.group == key.group && page.before == key.before &&
      std::equal(page.tokens.begin(), page.tokens.end(), key.tokens.begin(), key.tokens.end());
  return same ? found : pages_.end();
}

const std::byte* HostPages::find(const Key& key) const {
  const auto found = look_up(key);
  if (found == pages_.end()) return nullptr;
  return memory_.as<std::byte>().data() + found->second.offset;
}

void HostPages::remove(Pages::iterator page) {
  if (!page->second.held) unused_.erase(page->second.place);
  const int64_t n_bytes = page_bytes_[page->second.group];
  give_back(page->second.offset, static_cast<size_t>(n_bytes));
  used_bytes_ -= n_bytes;
  pages_.erase(page);
}

std::byte* HostPages::add(const Key& key) {
  const uint64_t hash = hash_of(key);
  if (const auto found = pages_.find(hash); found != pages_.end()) {
    Page& page = found->second;
    if (!page.held) unused_.splice(unused_.end(), unused_, page.place);
    return nullptr;
  }
  const int64_t n_bytes = page_bytes_[key.group];
  size_t offset = take(static_cast<size_t>(n_bytes));
  while (offset == kNowhere) {
    if (unused_.empty()) return nullptr;
    remove(pages_.find(unused_.front()));
    offset = take(static_cast<size_t>(n_bytes));
  }
  Page page = {key.group, key.before, {key.tokens.begin(), key.tokens.end()}, offset, false, {}};
  page.place = unused_.insert(unused_.end(), hash);
  used_bytes_ += n_bytes;
  pages_.emplace(hash, std::move(page));
  return at(offset);
}

void HostPages::drop(const Key& key) {
  const auto found = look_up(key);
  if (found != pages_.end()) remove(pages_.find(found->first));
}

void HostPages::hold(const Key& key) {
  const auto found = look_up(key);
  TQ_CHECK(found != pages_.end(), "a page is held that is not in host memory");
  Page& page = pages_.find(found->first)->second;
  if (std::exchange(page.held, true)) return;
  unused_.erase(page.place);
}

void HostPages::let_go(const Key& key) {
  const auto found = look_up(key);
  TQ_CHECK(found != pages_.end() && found->second.held, "a page is let go that was not held");
  Page& page = pages_.find(found->first)->second;
  page.held = false;
  page.place = unused_.insert(unused_.end(), found->first);
}

}  // namespace tq
