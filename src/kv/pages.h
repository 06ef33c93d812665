// Pages: which pages of a KV cache are free, which sequence uses which (its PageTable), and what
// they hold, so that sequences share what begins alike. Host only; one thread (the engine's).
//
// Layers are in groups by their window; every group has pages of its own. Group 0 keeps whole
// sequences. In the others pages that a window has left are given back while the sequence goes on.
// Full pages are immutable, so that any number of tables may use one; the page that is being
// written belongs to one table.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kv/host_pages.h"
#include "kv/page_pool.h"
#include "kv/prefix_index.h"
#include "kv/recent_hashes.h"

namespace tq {

// The pages of one sequence. Owned by the sequence, filled and released through the Pages that it
// was filled by.
struct PageTable {
  struct Group {
    std::vector<PageId> pages;  // in token order; those given back are 0
    int64_t n_left = 0;         // pages that the window has left, which were given back
    int64_t n_sinks = 0;        // of these the first, which were not (NearPages)
    // Whether the table has page i of the sequence, which is not beyond its end.
    bool has(int64_t i) const { return i >= n_left || i < n_sinks; }
    // The first token from which on it has all pages.
    int64_t begin_tokens() const { return n_left <= n_sinks ? 0 : n_left * kKvBlockTokens; }
  };
  std::vector<Group> groups;
  // Full pages that the prefix index has, and the last one's node there.
  int64_t n_indexed = 0;
  NodeId node = kRoot;
  // Tokens that its state, if it has one, stands behind; -1: some are being run, or a step failed.
  int64_t state_tokens = -1;

  // Tokens there is room for.
  int64_t capacity_tokens() const {
    return groups.empty() ? 0 : static_cast<int64_t>(groups[0].pages.size()) * kKvBlockTokens;
  }
};

// Physical slot (page * 16 + offset) of a token position in a group; the table must cover it.
inline int64_t kv_slot(const PageTable& table, int64_t position, size_t group = 0) {
  const auto page = static_cast<size_t>(position / kKvBlockTokens);
  return int64_t{table.groups[group].pages[page]} * kKvBlockTokens + position % kKvBlockTokens;
}

// The first page that a token at `position` sees through a window (0: all of them).
inline int64_t first_page_seen(int64_t position, int64_t window) {
  return window == 0 || position < window ? 0 : (position - window + 1) / kKvBlockTokens;
}

// The tokens of a page of a sequence; of its last one those that there are.
inline std::span<const int32_t> page_tokens(std::span<const int32_t> tokens, int64_t page) {
  const auto begin = static_cast<size_t>(page * kKvBlockTokens);
  return tokens.subspan(begin, std::min<size_t>(kKvBlockTokens, tokens.size() - begin));
}

// The group of near pages (KvLayerView::near), whose window is the tail: beside what the window
// sees, a sequence keeps its first n_sinks pages. A sequence can go on without those of its tail,
// as it finds all tokens in its other pages too.
struct NearPages {
  size_t group = 0;  // 0: there is none
  int64_t n_sinks = 0;
};

// Called to copy a page of a group: KvCache::copy_page.
using PageCopy = std::function<void(size_t group, PageId from, PageId to)>;

// Why no more of a sequence's beginning was adopted.
struct PrefixReport {
  enum class Why : uint8_t {
    kNone,       // all of it was, or all but a part of a page
    kUnknown,    // nothing that is kept begins so
    kEnded,      // what is kept goes no further than n_tokens
    kDiffers,    // what is kept goes on with another token after n_tokens
    kForgotten,  // n_tokens were kept, of which pages were given up for others
  };
  Why why = Why::kNone;
  int64_t n_tokens = 0;
};

class Pages {
 public:
  // windows: of the groups, the first of which is 0; n_pages: how many pages each has.
  // state_group: the group whose pages are slots for states of sequences (KvLayout::state_group),
  // of which a table has one, whatever its length; 0: there is none. A state is that behind all
  // tokens so far and cannot be cut back: a sequence adopts only what ends where a state is kept,
  // and nothing before keep_states() was called.
  Pages(std::vector<int64_t> windows, std::span<const int64_t> n_pages, NearPages near = {},
        size_t state_group = 0);
  // One group that keeps everything.
  explicit Pages(int64_t n_pages) : Pages({0}, std::span(&n_pages, 1)) {}

  // From now on full pages that are given up for others are kept in host memory, and brought back
  // by adopt(). Both must outlive this.
  void keep_on_host(HostPages& host, PageMover& mover) {
    host_ = &host;
    mover_ = &mover;
  }

  // From now on adopt() takes only what it has all near pages of the tail for. What a sequence
  // reads is then what it reads alone, whatever ran before, and a beginning without them is run
  // again.
  void adopt_with_tail_only() { needs_tail_ = true; }

  // From now on states are kept: behind prompts (keep_state) and where sequences ended. `copy` must
  // be there as long as this.
  void keep_states(PageCopy copy) { copy_state_ = std::move(copy); }
  bool keeps_states() const { return state_group_ > 0 && copy_state_; }
  // Whether sequences that begin alike can share pages.
  bool shares() const { return state_group_ == 0 || copy_state_; }
  int64_t n_pages(size_t group = 0) const { return pools_[group].size(); }
  // Pages that tables can get: free ones, and kept ones that nobody uses.
  int64_t n_available(size_t group = 0) const { return pools_[group].n_available(); }
  // Of those the ones that are kept because they may be used again.
  int64_t n_kept(size_t group = 0) const { return pools_[group].n_kept(); }

  // Grows the table to hold n_tokens; false (and nothing changed) when too few pages are available.
  [[nodiscard]] bool grow(PageTable& table, int64_t n_tokens);
  // Tokens that it could grow to.
  int64_t most_tokens(const PageTable& table) const;
  // Gives back what the token at `position`, and those after it, do not see.
  void slide(PageTable& table, int64_t position);
  // Fills an empty table with the pages that are kept or used of the sequence's beginning; returns
  // how many tokens they hold, fewer than there are. The last page may be partly filled: then
  // it is this table's alone.
  // report: unless null it is told why there are not more.
  int64_t adopt(PageTable& table, std::span<const int32_t> tokens, PrefixReport* report = nullptr);
  // How many tokens adopt() would find without host memory.
  int64_t n_adoptable(std::span<const int32_t> tokens) const;
  // Tells what the table holds: these tokens. Others can adopt its full pages from now on; those
  // that another one has told of before are exchanged for that one's.
  void publish(PageTable& table, std::span<const int32_t> tokens);
  // Where states are kept: a copy of the table's, for others that begin with these tokens, which it
  // has run and which end with a page; of other tokens none. It is forgotten when slots are needed,
  // unlikely ones first.
  void keep_state(PageTable& table, std::span<const int32_t> tokens, Reuse reuse);
  // Gives everything back; what was published is kept while nobody needs the pages.
  void release(PageTable& table);
  // The same after publishing these tokens, the partly filled last page too.
  void retire(PageTable& table, std::span<const int32_t> tokens);
  // A table that goes on after the same n_tokens by itself: full pages are shared, the partly
  // filled one and the state are copied; with a state, n_tokens must be all that were run. Nothing
  // when too few pages are available for that.
  std::optional<PageTable> fork(const PageTable& table, int64_t n_tokens, const PageCopy& copy);

  // Throws kInternal unless these are all the tables there are and every page is accounted for.
  void check(std::span<const PageTable* const> tables) const;

 private:
  // Where a sequence can go on: after full pages, the last of which is node, and n_common tokens of
  // a tail.
  struct Match {
    std::vector<NodeId> nodes;
    PrefixIndex::Tail tail;
    // Pages that others have in all groups but the near one, which a sequence can use once it has
    // computed a tail again: what it adopts ends before that.
    int64_t n_known = 0;
    int64_t n_tokens() const {
      return static_cast<int64_t>(nodes.size()) * kKvBlockTokens + tail.n_common;
    }
  };
  Match match(std::span<const int32_t> tokens) const;
  PrefixReport explain(const Match& found, std::span<const int32_t> tokens) const;
  // The tail that has the most in common with the tokens, if a sequence can go on there.
  PrefixIndex::Tail usable_tail(NodeId parent, std::span<const int32_t> tokens) const;
  // Whether a sequence can go on behind the page of a node as far as its state is concerned.
  bool has_state(NodeId id) const;
  // Gives the table the state that stands behind what it adopts.
  void adopt_state(PageTable& table, const Match& found);
  PageId take(size_t group);
  // Empties a page that is kept, and those pages that are of no use without it.
  void forget(size_t group, PageId page);
  void remove_node(NodeId id);
  NodeId publish_page(PageTable& table, int64_t index, std::span<const int32_t> tokens);
  size_t n_groups() const { return windows_.size(); }
  bool is_state(size_t group) const { return state_group_ > 0 && group == state_group_; }
  bool is_near(size_t group) const { return near_.group > 0 && group == near_.group; }
  int64_t n_sinks(size_t group) const { return is_near(group) ? near_.n_sinks : 0; }
  // Whether a token at `position`, or one after it, sees page i of the sequence.
  bool is_seen(size_t group, int64_t page, int64_t position) const {
    return page >= first_page_seen(position, windows_[group]) || page < n_sinks(group);
  }

  // In pages_host.cpp: saves the page of a group of a node that is given up;
  void save(NodeId id, size_t group);
  // the pages from the beginning of a sequence that are here or in host memory, as far as a
  // sequence can go on behind them;
  struct Path {
    std::vector<NodeId> nodes;     // kNoNode: only in host memory
    std::vector<uint64_t> hashes;  // Node::hash before each, and behind the last
  };
  Path known_path(std::span<const int32_t> tokens) const;
  // and brings back what lets adopt() find more than n_found tokens; false: there is nothing.
  bool restore(std::span<const int32_t> tokens, int64_t n_found);
  struct Missing {
    size_t group;
    size_t index;  // of the path
  };
  std::vector<Missing> missing_of(const Path& path, std::span<const int32_t> tokens) const;
  bool bring(const Missing& missing, Path& path, std::span<const int32_t> tokens,
             std::vector<std::vector<PageId>>& held);

  std::vector<int64_t> windows_;
  NearPages near_;
  size_t state_group_ = 0;
  PageCopy copy_state_;
  bool needs_tail_ = false;
  std::vector<PagePool> pools_;
  PrefixIndex index_;
  RecentHashes forgotten_{size_t{1} << 16};  // Node::hash of full pages
  HostPages* host_ = nullptr;
  PageMover* mover_ = nullptr;
};

}  // namespace tq
