// HostPages: what full KV pages held that were given up for others, in host memory up to a limit;
// the longest unused goes first. A page is known by its tokens and a hash of all before them, under
// a number that nobody knows. Host only; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kv/page_pool.h"

namespace tq {

// Moves what pages hold to and from host memory. What it throws is not told: then a page is not
// kept, or computed again.
class PageMover {
 public:
  virtual ~PageMover() = default;
  virtual void save(size_t group, PageId page, std::byte* to) = 0;
  virtual void load(size_t group, PageId page, const std::byte* from) = 0;
};

class HostPages {
 public:
  struct Key {
    size_t group = 0;
    uint64_t before = 0;  // PrefixIndex::Node::hash of the page before it
    std::span<const int32_t> tokens;
  };

  // page_bytes: of each group.
  HostPages(int64_t most_bytes, std::vector<int64_t> page_bytes)
      : most_bytes_(most_bytes), page_bytes_(std::move(page_bytes)) {}

  // What the page held; null when it is not here.
  const std::byte* find(const Key& key) const;
  // Room for what a page holds, for which others may be dropped; null when it is here already, or
  // there is no room.
  std::byte* add(const Key& key);
  void drop(const Key& key);
  // Keeps a page that is here until it is let go, and then as one that was just used.
  void hold(const Key& key);
  void let_go(const Key& key);

  int64_t n_pages() const { return static_cast<int64_t>(pages_.size()); }
  int64_t used_bytes() const { return used_bytes_; }

 private:
  struct Page {
    size_t group;
    uint64_t before;
    std::vector<int32_t> tokens;
    std::unique_ptr<std::byte[]> bytes;
    bool held = false;
    std::list<uint64_t>::iterator place;  // in unused_, unless it is held
  };
  using Pages = std::unordered_map<uint64_t, Page>;  // by a hash of the key

  static uint64_t hash_of(const Key& key);
  Pages::const_iterator look_up(const Key& key) const;
  void remove(Pages::iterator page);

  int64_t most_bytes_;
  std::vector<int64_t> page_bytes_;
  int64_t used_bytes_ = 0;
  Pages pages_;
  std::list<uint64_t> unused_;  // the longest unused first
};

}  // namespace tq
