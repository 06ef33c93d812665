// PagePool: the pages of one window group, each in one of three states:
//   in use  by one or several tables, which are counted,
//   kept    by no table, but the prefix index has a node for what it holds: it may be used again,
//   free.
// Host only; one thread (the engine's) uses it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

namespace tq {

using PageId = int32_t;
using NodeId = int32_t;  // of the prefix index
constexpr NodeId kNoNode = -1;

// How likely it is that a page is asked for again.
enum class Reuse : uint8_t {
  kUnlikely,  // a window has left it: only a prompt that ends here needs it
  kLikely,
};

class PagePool {
 public:
  explicit PagePool(int64_t n);
  int64_t size() const { return static_cast<int64_t>(pages_.size()); }
  int64_t n_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t n_kept() const { return static_cast<int64_t>(kept_[0].size() + kept_[1].size()); }
  // Pages that a table can get: those that are kept have to be forgotten for it.
  int64_t n_available() const { return n_free() + n_kept(); }

  // A free page for one table; n_free() must not be 0.
  PageId take();
  // One more table uses the page, which is in use or kept.
  void share(PageId page);
  // One table less uses it; with none left it is kept if it has a node, else free.
  void drop(PageId page, Reuse reuse);
  // The page holds what the node says.
  void assign(PageId page, NodeId node) { of(page).node = node; }
  // Its content is nobody's any more: free, if no table uses it.
  void forget(PageId page);
  // Of the kept pages the one to forget first: the unlikely before the likely, of these the one
  // that was dropped first. n_kept() must not be 0.
  PageId first_kept() const;

  int64_t n_users(PageId page) const { return of(page).users; }
  NodeId node(PageId page) const { return of(page).node; }
  // Of one that is kept: how it was dropped.
  Reuse reuse(PageId page) const { return of(page).reuse; }
  // Throws kInternal unless every page is in the one state that its counts say, used by as many
  // tables as `users` says.
  void check(const std::vector<int64_t>& users) const;

 private:
  struct Page {
    int32_t users = 0;
    NodeId node = kNoNode;
    Reuse reuse = Reuse::kLikely;
    std::list<PageId>::iterator place;  // in kept_[reuse], while it is kept
  };
  Page& of(PageId page) { return pages_[static_cast<size_t>(page)]; }
  const Page& of(PageId page) const { return pages_[static_cast<size_t>(page)]; }
  std::list<PageId>& kept(Reuse reuse) { return kept_[static_cast<size_t>(reuse)]; }

  std::vector<Page> pages_;
  std::vector<PageId> free_;               // a stack; lowest numbers handed out first
  std::array<std::list<PageId>, 2> kept_;  // by Reuse, in the order they were dropped
};

}  // namespace tq
