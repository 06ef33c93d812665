#include "kv/prefix_index.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "base/check.h"

namespace tq {
namespace {

std::vector<int32_t> key_of(std::span<const int32_t> tokens) {
  return {tokens.begin(), tokens.end()};
}

PrefixIndex::Tail nearest(const std::map<std::vector<int32_t>, NodeId>& nodes,
                          std::span<const int32_t> tokens) {
  PrefixIndex::Tail best;
  const auto consider = [&](const auto& node) {
    const auto common =
        std::mismatch(tokens.begin(), tokens.end(), node.first.begin(), node.first.end());
    const int64_t n = common.first - tokens.begin();
    if (n > best.n_common) best = {node.second, n};
  };
  // In lexical order the best is next to where the tokens would stand.
  const auto after = nodes.lower_bound(key_of(tokens));
  if (after != nodes.end()) consider(*after);
  if (after != nodes.begin()) consider(*std::prev(after));
  return best;
}

}  // namespace

// From a number that nobody knows, so that nobody can make up tokens of equal hashes.
PrefixIndex::PrefixIndex() : nodes_(1) {
  std::random_device device;
  nodes_[0].hash = uint64_t{device()} << 32 | device();
}

NodeId PrefixIndex::find(NodeId parent, std::span<const int32_t> tokens) const {
  const auto& nodes = node(parent).next(tokens.size());
  const auto found = nodes.find(key_of(tokens));
  return found == nodes.end() ? kNoNode : found->second;
}

PrefixIndex::Tail PrefixIndex::find_tail(NodeId parent, std::span<const int32_t> tokens) const {
  return nearest(node(parent).tails, tokens);
}

PrefixIndex::Tail PrefixIndex::find_nearest(NodeId parent, std::span<const int32_t> tokens) const {
  const Tail tail = nearest(node(parent).tails, tokens);
  const Tail page = nearest(node(parent).children, tokens);
  return page.n_common > tail.n_common ? page : tail;
}

// Steps of splitmix64.
uint64_t PrefixIndex::hash_after(uint64_t parent, std::span<const int32_t> tokens) {
  uint64_t hash = parent;
  for (const int32_t token : tokens) {
    hash += 0x9e3779b97f4a7c15 + static_cast<uint32_t>(token);
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    hash ^= hash >> 31;
  }
  return hash;
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
  const uint64_t hash = hash_after(node(parent).hash, tokens);
  at(id) = {parent, key_of(tokens), std::move(pages), hash, {}, {}};
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
