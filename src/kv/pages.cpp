#include "kv/pages.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/math.h"

namespace tq {
namespace {

int64_t n_full_pages(std::span<const int32_t> tokens) {
  return static_cast<int64_t>(tokens.size()) / kKvBlockTokens;
}

}  // namespace

Pages::Pages(std::vector<int64_t> windows, std::span<const int64_t> n_pages, NearPages near,
             size_t state_group)
    : windows_(std::move(windows)), near_(near), state_group_(state_group) {
  TQ_CHECK(windows_.size() == n_pages.size() && windows_.front() == 0,
           "{} counts of pages for {} groups", n_pages.size(), windows_.size());
  TQ_CHECK(near_.group < n_groups(), "near pages in group {} of {}", near_.group, n_groups());
  TQ_CHECK(state_group_ < n_groups(), "states in group {} of {}", state_group_, n_groups());
  pools_.reserve(n_groups());
  for (const int64_t n : n_pages) pools_.emplace_back(n);
}

// Group 0's pages are dropped last page first, so that of the kept ones the first has nothing after
// it in the index.
void Pages::forget(size_t group, PageId page) {
  const NodeId id = pools_[group].node(page);
  if (group == 0) {
    forgotten_.add(index_.node(id).hash);
    for (size_t g = 0; g < n_groups(); ++g) save(id, g);
    remove_node(id);
  } else {
    save(id, group);
    pools_[group].forget(page);
    index_.set_page(id, group, kNoPage);
  }
}

void Pages::remove_node(NodeId id) {
  for (size_t g = 0; g < n_groups(); ++g) {
    const PageId page = index_.node(id).pages[g];
    if (page != kNoPage) pools_[g].forget(page);
  }
  index_.remove(id);
}

PageId Pages::take(size_t group) {
  if (pools_[group].n_free() == 0) forget(group, pools_[group].first_kept());
  return pools_[group].take();
}

bool Pages::grow(PageTable& table, int64_t n_tokens) {
  if (n_tokens > most_tokens(table)) return false;
  table.state_tokens = -1;
  table.groups.resize(n_groups());
  const int64_t wanted = ceil_div(n_tokens, kKvBlockTokens);
  for (size_t g = 0; g < n_groups(); ++g) {
    table.groups[g].n_sinks = n_sinks(g);
    std::vector<PageId>& pages = table.groups[g].pages;
    const int64_t n = is_state(g) ? std::min<int64_t>(wanted, 1) : wanted;
    while (static_cast<int64_t>(pages.size()) < n) pages.push_back(take(g));
  }
  return true;
}

int64_t Pages::most_tokens(const PageTable& table) const {
  int64_t most = pools_[0].n_available();
  for (size_t g = 1; g < n_groups(); ++g) {
    if (!is_state(g)) {
      most = std::min(most, pools_[g].n_available());
    } else if (table.capacity_tokens() == 0 && pools_[g].n_available() == 0) {
      most = 0;
    }
  }
  return table.capacity_tokens() + most * kKvBlockTokens;
}

void Pages::slide(PageTable& table, int64_t position) {
  for (size_t g = 1; g < table.groups.size(); ++g) {
    if (is_state(g)) continue;
    PageTable::Group& group = table.groups[g];
    const int64_t end =
        std::min(first_page_seen(position, windows_[g]), static_cast<int64_t>(group.pages.size()));
    for (; group.n_left < end; ++group.n_left) {
      if (group.n_left < group.n_sinks) continue;
      PageId& page = group.pages[static_cast<size_t>(group.n_left)];
      pools_[g].drop(std::exchange(page, 0), Reuse::kUnlikely);
    }
  }
}

// A state is of use behind all tokens of its tail only.
PrefixIndex::Tail Pages::usable_tail(NodeId parent, std::span<const int32_t> tokens) const {
  const PrefixIndex::Tail tail = index_.find_tail(parent, tokens);
  if (tail.node == kNoNode) return {};
  const PrefixIndex::Node& node = index_.node(tail.node);
  const bool is_cut = tail.n_common < static_cast<int64_t>(node.tokens.size());
  if (state_group_ > 0 && is_cut) return {};
  const bool lacks_pages =
      std::find(node.pages.begin(), node.pages.end(), kNoPage) != node.pages.end();
  return lacks_pages ? PrefixIndex::Tail{} : tail;
}

Pages::Match Pages::match(std::span<const int32_t> tokens) const {
  Match found;
  if (tokens.empty()) return found;
  tokens = tokens.first(tokens.size() - 1);  // the last is always run: its logits are wanted
  NodeId at = kRoot;
  // From which page on a group has all of them, and where a sequence could go on: with near pages
  // of its tail, or without. Of no use are pages whose sequence has lost its sinks.
  std::vector<int64_t> whole_from(n_groups(), 0);
  bool has_sinks = true;
  const auto goes_on_at = [&](int64_t position, bool without_tail) {
    for (size_t g = 1; g < n_groups(); ++g) {
      if (without_tail && is_near(g)) continue;
      if (whole_from[g] > first_page_seen(position, windows_[g])) return false;
    }
    return has_sinks;
  };
  const bool takes_without_tail = near_.group > 0 && !needs_tail_;
  size_t best = 0;
  std::vector<size_t> without_tail = {0};  // numbers of pages
  // The last state that is kept within a page, and how many pages are before it.
  PrefixIndex::Tail state_tail;
  size_t n_before = 0;
  for (int64_t i = 0; i < n_full_pages(tokens); ++i) {
    const NodeId next = index_.find(at, page_tokens(tokens, i));
    if (next == kNoNode) break;
    if (const auto tail =
            state_group_ > 0 ? usable_tail(at, page_tokens(tokens, i)) : PrefixIndex::Tail{};
        tail.node != kNoNode && goes_on_at(i * kKvBlockTokens + tail.n_common, false)) {
      state_tail = tail;
      n_before = found.nodes.size();
    }
    at = next;
    found.nodes.push_back(at);
    for (size_t g = 1; g < n_groups(); ++g) {
      if (is_state(g) || index_.node(at).pages[g] != kNoPage) continue;
      if (i < n_sinks(g)) has_sinks = false;
      whole_from[g] = i + 1;
    }
    const int64_t position = (i + 1) * kKvBlockTokens;
    if (!has_state(at)) continue;
    if (goes_on_at(position, /*without_tail=*/false)) best = found.nodes.size();
    if (takes_without_tail && goes_on_at(position, true))
      without_tail.push_back(found.nodes.size());
  }
  const auto n_found = static_cast<int64_t>(found.nodes.size());
  const auto tail = usable_tail(at, page_tokens(tokens, n_found));
  if (tail.node != kNoNode && goes_on_at(n_found * kKvBlockTokens + tail.n_common, false)) {
    found.tail = tail;
    found.n_known = n_found;
    return found;
  }
  if (state_tail.node != kNoNode && n_before >= best) {
    found.nodes.resize(n_before);
    found.tail = state_tail;
    found.n_known = static_cast<int64_t>(n_before);
    return found;
  }
  found.n_known = static_cast<int64_t>(std::max(best, without_tail.back()));
  if (takes_without_tail) {  // the last place from which the tail is computed again
    const int64_t end = (found.n_known * kKvBlockTokens - windows_[near_.group]) / kKvBlockTokens;
    const auto after = std::find_if(without_tail.begin(), without_tail.end(), [&](size_t n) {
      return static_cast<int64_t>(n) > std::max<int64_t>(end, 0);
    });
    best = std::max(best, *(after - 1));
  }
  found.nodes.resize(best);
  return found;
}

int64_t Pages::n_adoptable(std::span<const int32_t> tokens) const {
  return match(tokens).n_tokens();
}

PrefixReport Pages::explain(const Match& found, std::span<const int32_t> tokens) const {
  using Why = PrefixReport::Why;
  if (tokens.empty()) return {};
  tokens = tokens.first(tokens.size() - 1);
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  if (found.n_tokens() == n_tokens) return {};
  // Pages that the index has, but without what a window sees; and those that it had.
  const int64_t n_adopted = found.n_known;
  NodeId at = found.nodes.empty() ? kRoot : found.nodes.back();
  auto n_pages = static_cast<int64_t>(found.nodes.size());
  for (; n_pages < n_full_pages(tokens); ++n_pages) {
    const NodeId next = index_.find(at, page_tokens(tokens, n_pages));
    if (next == kNoNode) break;
    at = next;
  }
  int64_t n_known = n_pages;
  for (uint64_t hash = index_.node(at).hash; n_known < n_full_pages(tokens); ++n_known) {
    hash = PrefixIndex::hash_after(hash, page_tokens(tokens, n_known));
    if (!forgotten_.has(hash)) break;
  }
  if (n_known > n_adopted) return {Why::kForgotten, n_known * kKvBlockTokens};
  const PrefixIndex::Tail next = index_.find_nearest(at, page_tokens(tokens, n_pages));
  const int64_t position = n_pages * kKvBlockTokens + next.n_common;
  if (position == n_tokens) return {};
  if (position == 0) return {Why::kUnknown, 0};
  const bool differs =
      next.node != kNoNode
          ? next.n_common < static_cast<int64_t>(index_.node(next.node).tokens.size())
          : !index_.node(at).children.empty() || !index_.node(at).tails.empty();
  return {differs ? Why::kDiffers : Why::kEnded, position};
}

int64_t Pages::adopt(PageTable& table, std::span<const int32_t> tokens, PrefixReport* report) {
  TQ_CHECK(table.capacity_tokens() == 0, "a table that has pages adopts others");
  Match found = match(tokens);
  if (host_ != nullptr && restore(tokens, found.n_tokens())) found = match(tokens);
  if (report != nullptr) *report = explain(found, tokens);
  table.groups.resize(n_groups());
  adopt_state(table, found);
  for (size_t g = 0; g < n_groups(); ++g) {
    if (is_state(g)) continue;
    PageTable::Group& group = table.groups[g];
    group.n_sinks = n_sinks(g);
    const auto n_nodes = static_cast<int64_t>(found.nodes.size());
    group.n_left = std::min(first_page_seen(found.n_tokens(), windows_[g]), n_nodes);
    group.pages.assign(found.nodes.size(), 0);
    const auto is_there = [&](int64_t i) {
      return index_.node(found.nodes[static_cast<size_t>(i)]).pages[g] != kNoPage;
    };
    for (int64_t i = group.n_left; is_near(g) && i < n_nodes; ++i) {
      if (!is_there(i)) group.n_left = i + 1;  // the tail begins where all is there
    }
    for (size_t i = 0; i < found.nodes.size(); ++i) {
      if (!group.has(static_cast<int64_t>(i))) continue;
      group.pages[i] = index_.node(found.nodes[i]).pages[g];
      pools_[g].share(group.pages[i]);
    }
    if (found.tail.node != kNoNode) {
      group.pages.push_back(index_.node(found.tail.node).pages[g]);
      pools_[g].share(group.pages.back());
    }
  }
  table.n_indexed = static_cast<int64_t>(found.nodes.size());
  table.node = found.nodes.empty() ? kRoot : found.nodes.back();
  if (found.tail.node != kNoNode) remove_node(found.tail.node);  // it is going to be written
  return found.n_tokens();
}

bool Pages::has_state(NodeId id) const {
  return state_group_ == 0 || index_.node(id).pages[state_group_] != kNoPage;
}

// Behind a tail the state is taken over, as the tail's pages are; behind a full page it is copied,
// or taken over where there is no slot for a copy.
void Pages::adopt_state(PageTable& table, const Match& found) {
  if (state_group_ == 0 || found.n_tokens() == 0) return;
  PagePool& pool = pools_[state_group_];
  const bool has_tail = found.tail.node != kNoNode;
  const NodeId id = has_tail ? found.tail.node : found.nodes.back();
  const PageId kept = index_.node(id).pages[state_group_];
  pool.share(kept);
  table.state_tokens = found.n_tokens();
  std::vector<PageId>& pages = table.groups[state_group_].pages;
  if (has_tail) {  // its node is removed
    pages = {kept};
  } else if (pool.n_available() == 0) {
    pages = {kept};
    pool.forget(kept);
    index_.set_page(id, state_group_, kNoPage);
  } else {
    pages = {take(state_group_)};
    copy_state_(state_group_, kept, pages[0]);
    pool.drop(kept, Reuse::kLikely);
  }
}

void Pages::keep_state(PageTable& table, std::span<const int32_t> tokens, Reuse reuse) {
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  if (!keeps_states() || n_tokens == 0 || table.state_tokens != n_tokens ||
      table.n_indexed * kKvBlockTokens != n_tokens) {
    return;
  }
  PagePool& pool = pools_[state_group_];
  PageId kept = index_.node(table.node).pages[state_group_];
  if (kept != kNoPage) {
    pool.share(kept);  // it was of use
  } else {
    if (pool.n_available() == 0) return;
    kept = take(state_group_);
    copy_state_(state_group_, table.groups[state_group_].pages[0], kept);
    index_.set_page(table.node, state_group_, kept);
    pool.assign(kept, table.node);
  }
  pool.drop(kept, reuse);
}

NodeId Pages::publish_page(PageTable& table, int64_t index, std::span<const int32_t> tokens) {
  const NodeId known = index_.find(table.node, tokens);
  std::vector<PageId> pages(n_groups(), kNoPage);
  if (known != kNoNode) pages = index_.node(known).pages;
  std::vector<size_t> added;
  for (size_t g = 0; g < n_groups(); ++g) {
    PageTable::Group& group = table.groups[g];
    if (is_state(g) || !group.has(index)) continue;
    PageId& own = group.pages[static_cast<size_t>(index)];
    if (pages[g] == kNoPage) {
      pages[g] = own;
      added.push_back(g);
    } else if (pages[g] != own) {
      pools_[g].share(pages[g]);
      pools_[g].drop(std::exchange(own, pages[g]), Reuse::kLikely);
    }
  }
  const NodeId id = known != kNoNode ? known : index_.add(table.node, tokens, pages);
  for (const size_t g : added) {
    index_.set_page(id, g, pages[g]);
    pools_[g].assign(pages[g], id);
  }
  return id;
}

void Pages::publish(PageTable& table, std::span<const int32_t> tokens) {
  if (!shares()) return;
  for (; table.n_indexed < n_full_pages(tokens); ++table.n_indexed) {
    table.node = publish_page(table, table.n_indexed, page_tokens(tokens, table.n_indexed));
  }
  table.state_tokens = static_cast<int64_t>(tokens.size());
}

void Pages::release(PageTable& table) {
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const PageTable::Group& group = table.groups[g];
    const auto n_pages = static_cast<int64_t>(group.pages.size());
    const int64_t n_first = std::min(group.n_sinks, n_pages);
    const auto first = group.pages.begin() + std::max(std::min(group.n_left, n_pages), n_first);
    std::vector<PageId> pages(first, group.pages.end());
    // What is dropped first is forgotten first: the end, or the beginning of a window, without
    // which the sequence can still go on where it ended; last the sinks, without which nothing can.
    if (g == 0) std::reverse(pages.begin(), pages.end());
    pages.insert(pages.end(), group.pages.begin(), group.pages.begin() + n_first);
    for (const PageId page : pages) pools_[g].drop(page, Reuse::kLikely);
  }
  table = {};
}

void Pages::retire(PageTable& table, std::span<const int32_t> tokens) {
  // What a step that failed has left in its slot is no state of these tokens.
  const bool has_state =
      keeps_states() && table.state_tokens == static_cast<int64_t>(tokens.size());
  publish(table, tokens);
  const int64_t n_full = n_full_pages(tokens);
  const auto tail = page_tokens(tokens, n_full);
  if (state_group_ > 0 && !has_state) return release(table);
  if (has_state && tail.empty() && n_full > 0 && !this->has_state(table.node)) {
    const PageId state = table.groups[state_group_].pages[0];
    index_.set_page(table.node, state_group_, state);
    pools_[state_group_].assign(state, table.node);
  }
  if (!tail.empty() && index_.find(table.node, tail) == kNoNode) {
    std::vector<PageId> pages;
    for (size_t g = 0; g < n_groups(); ++g) {
      const std::vector<PageId>& own = table.groups[g].pages;
      pages.push_back(is_state(g) ? own[0] : own[static_cast<size_t>(n_full)]);
    }
    const NodeId id = index_.add(table.node, tail, pages);
    for (size_t g = 0; g < n_groups(); ++g) pools_[g].assign(pages[g], id);
  }
  release(table);
}

std::optional<PageTable> Pages::fork(const PageTable& table, int64_t n_tokens,
                                     const PageCopy& copy) {
  const auto n_full = static_cast<size_t>(n_tokens / kKvBlockTokens);
  TQ_CHECK(n_tokens <= table.capacity_tokens() && table.n_indexed * kKvBlockTokens <= n_tokens,
           "a table of {} tokens is forked after {}", table.capacity_tokens(), n_tokens);
  const bool copies = n_tokens % kKvBlockTokens > 0;
  for (size_t g = 0; g < n_groups(); ++g) {
    if ((copies || is_state(g)) && pools_[g].n_available() == 0) return std::nullopt;
  }
  PageTable forked = table;
  for (size_t g = 0; g < forked.groups.size(); ++g) {
    PageTable::Group& group = forked.groups[g];
    if (is_state(g)) {
      if (group.pages.empty()) continue;  // no token was run
      group.pages[0] = take(g);
      copy(g, table.groups[g].pages[0], group.pages[0]);
      continue;
    }
    TQ_CHECK(group.begin_tokens() <= n_tokens, "what is forked was given back");
    group.pages.resize(n_full);
    for (size_t i = 0; i < n_full; ++i) {
      if (group.has(static_cast<int64_t>(i))) pools_[g].share(group.pages[i]);
    }
    if (!copies) continue;
    group.pages.push_back(take(g));
    copy(g, table.groups[g].pages[n_full], group.pages.back());
  }
  return forked;
}

void Pages::check(std::span<const PageTable* const> tables) const {
  for (size_t g = 0; g < n_groups(); ++g) {
    std::vector<int64_t> users(static_cast<size_t>(pools_[g].size()));
    for (const PageTable* table : tables) {
      if (table->groups.empty()) continue;
      const PageTable::Group& group = table->groups[g];
      for (size_t i = 0; i < group.pages.size(); ++i) {
        if (group.has(static_cast<int64_t>(i))) ++users[static_cast<size_t>(group.pages[i])];
      }
    }
    pools_[g].check(users);
    int64_t n_assigned = 0;
    for (PageId page = 0; page < pools_[g].size(); ++page) {
      const NodeId id = pools_[g].node(page);
      if (id == kNoNode) continue;
      ++n_assigned;
      const PrefixIndex::Node& node = index_.node(id);
      TQ_CHECK(node.pages[g] == page, "page {} is not that of its node", page);
      TQ_CHECK(index_.find(node.parent, node.tokens) == id, "node {} is not in the tree", id);
    }
    TQ_CHECK(g > 0 || n_assigned == index_.n_nodes(), "{} nodes have {} pages", index_.n_nodes(),
             n_assigned);
  }
  for (const PageTable* table : tables) {
    NodeId at = table->node;
    for (int64_t i = table->n_indexed; i-- > 0; at = index_.node(at).parent) {
      TQ_CHECK(index_.node(at).pages[0] == table->groups[0].pages[static_cast<size_t>(i)],
               "page {} of a table is not that of the index", i);
    }
    TQ_CHECK(at == kRoot, "a table's node is too deep");
  }
}

}  // namespace tq
