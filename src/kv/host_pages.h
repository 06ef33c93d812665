// HostPages: what full KV pages held that were given up for others, in one piece of host memory;
// the longest unused goes first. A page is known by its tokens and a hash of all before them, under
// a number that nobody knows. Host only; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kv/page_pool.h"
#include "tensor/buffer.h"

namespace tq {

// Moves what pages hold to and from host memory, in the order of its calls and of what else is
// asked of the device; it may return before that is done, so nobody else looks at the bytes. What
// it throws is not told: then a page is not kept, or computed again.
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
  HostPages(Buffer memory, std::vector<int64_t> page_bytes);

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
    size_t offset;  // in memory_
    bool held = false;
    std::list<uint64_t>::iterator place;  // in unused_, unless it is held
  };
  using Pages = std::unordered_map<uint64_t, Page>;  // by a hash of the key

  static uint64_t hash_of(const Key& key);
  Pages::const_iterator look_up(const Key& key) const;
  void remove(Pages::iterator page);
  std::byte* at(size_t offset) { return memory_.as<std::byte>().data() + offset; }
  // The first gap that is large enough; pages that were added together go together, which makes
  // gaps whole again. kNowhere if there is none.
  size_t take(size_t n_bytes);
  void give_back(size_t offset, size_t n_bytes);

  static constexpr size_t kNowhere = SIZE_MAX;
  Buffer memory_;
  std::map<size_t, size_t> gaps_;  // offset -> bytes
  std::vector<int64_t> page_bytes_;
  int64_t used_bytes_ = 0;
  Pages pages_;
  std::list<uint64_t> unused_;  // the longest unused first
};

}  // namespace tq
