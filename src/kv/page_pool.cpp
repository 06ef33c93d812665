#include "kv/page_pool.h"

#include "base/check.h"

namespace tq {

PagePool::PagePool(int64_t n) : pages_(static_cast<size_t>(n)) {
  free_.reserve(pages_.size());
  for (int64_t page = n - 1; page >= 0; --page) free_.push_back(static_cast<PageId>(page));
}

PageId PagePool::take() {
  TQ_CHECK(!free_.empty(), "a page is taken where none of {} is free", size());
  const PageId page = free_.back();
  free_.pop_back();
  of(page).users = 1;
  return page;
}

void PagePool::share(PageId page) {
  Page& shared = of(page);
  if (shared.users == 0) {
    TQ_CHECK(shared.node != kNoNode, "page {} is free and shared", page);
    kept(shared.reuse).erase(shared.place);
  }
  ++shared.users;
}

void PagePool::drop(PageId page, Reuse reuse) {
  Page& dropped = of(page);
  TQ_CHECK(dropped.users > 0, "page {} is given back, but nobody has it", page);
  if (--dropped.users > 0) return;
  if (dropped.node == kNoNode) {
    free_.push_back(page);
    return;
  }
  dropped.reuse = reuse;
  dropped.place = kept(reuse).insert(kept(reuse).end(), page);
}

void PagePool::forget(PageId page) {
  Page& forgotten = of(page);
  TQ_CHECK(forgotten.node != kNoNode, "page {} is forgotten twice", page);
  forgotten.node = kNoNode;
  if (forgotten.users > 0) return;
  kept(forgotten.reuse).erase(forgotten.place);
  free_.push_back(page);
}

PageId PagePool::first_kept() const {
  TQ_CHECK(n_kept() > 0, "no page is kept");
  return kept_[0].empty() ? kept_[1].front() : kept_[0].front();
}

void PagePool::check(const std::vector<int64_t>& users) const {
  std::vector<int> seen(pages_.size());
  for (const PageId page : free_) {
    TQ_CHECK(of(page).users == 0 && of(page).node == kNoNode, "page {} is free and used", page);
    ++seen[static_cast<size_t>(page)];
  }
  for (const auto& list : kept_) {
    for (const PageId page : list) {
      TQ_CHECK(of(page).users == 0 && of(page).node != kNoNode, "page {} is not kept", page);
      ++seen[static_cast<size_t>(page)];
    }
  }
  for (size_t i = 0; i < pages_.size(); ++i) {
    TQ_CHECK(pages_[i].users == users[i], "page {} has {} users, not {}", i, pages_[i].users,
             users[i]);
    TQ_CHECK(seen[i] == (users[i] == 0 ? 1 : 0), "page {} is lost or there twice", i);
  }
}

}  // namespace tq
