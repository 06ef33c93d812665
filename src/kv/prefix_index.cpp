#include "kv/prefix_index.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace tq {
namespace {

std::vector<int32_t> key_of(std::span<const int32_t> tokens) {
  return {tokens.begin(), tokens.end()};
}

}  // namespace

NodeId PrefixIndex::find(NodeId parent, std::span<const int32_t> tokens) const {
  const auto& nodes = node(parent).next(tokens.size());
  const auto found = nodes.find(key_of(tokens));
  return found == nodes.end() ? kNoNode : found->second;
}

PrefixIndex::Tail PrefixIndex::find_tail(NodeId parent, std::span<const int32_t> tokens) const {
  Tail best;
  const auto& tails = node(parent).tails;
  const auto consider = [&](const auto& tail) {
    const auto common =
        std::mismatch(tokens.begin(), tokens.end(), tail.first.begin(), tail.first.end());
    const int64_t n = common.first - tokens.begin();
    if (n > best.n_common) best = {tail.second, n};
  };
  // In lexical order the best is next to where the tokens would stand.
  const auto after = tails.lower_bound(key_of(tokens));
  if (after != tails.end()) consider(*after);
  if (after != tails.begin()) consider(*std::prev(after));
  return best;
}

NodeId PrefixIndex::add(NodeId parent, std::span<const int32_t> tokens, std::vector<PageId> pages) {
  NodeId id = static_cast<NodeId>(nodes_.size());
  if (unused_.empty()) {
    nodes_.emplace_back();
  } else {
    id = unused_.back();
    unused_.pop_back();
  }
  const bool is_new = at(parent).next(tokens.size()).emplace(key_of(tokens), id).second;
  TQ_CHECK(is_new, "a page is in the prefix index twice");
  at(id) = {parent, key_of(tokens), std::move(pages), {}, {}};
  return id;
}

void PrefixIndex::remove(NodeId id) {
  Node& removed = at(id);
  TQ_CHECK(removed.children.empty() && removed.tails.empty() && removed.parent != kNoNode,
           "node {} of the prefix index is removed before what follows it", id);
  at(removed.parent).next(removed.tokens.size()).erase(removed.tokens);
  removed = {};
  unused_.push_back(id);
}

}  // namespace tq
