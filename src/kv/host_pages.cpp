#include "kv/host_pages.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "kv/prefix_index.h"

namespace tq {

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
  return found == pages_.end() ? nullptr : found->second.bytes.get();
}

void HostPages::remove(Pages::iterator page) {
  if (!page->second.held) unused_.erase(page->second.place);
  used_bytes_ -= page_bytes_[page->second.group];
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
  while (used_bytes_ + n_bytes > most_bytes_) {
    if (unused_.empty()) return nullptr;
    remove(pages_.find(unused_.front()));
  }
  Page page = {key.group, key.before, {key.tokens.begin(), key.tokens.end()}, nullptr, false, {}};
  page.bytes.reset(new (std::nothrow) std::byte[static_cast<size_t>(n_bytes)]);
  if (!page.bytes) return nullptr;
  page.place = unused_.insert(unused_.end(), hash);
  used_bytes_ += n_bytes;
  return pages_.emplace(hash, std::move(page)).first->second.bytes.get();
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
