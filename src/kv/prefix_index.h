// PrefixIndex: what KV pages hold, as a tree. A node is a page of tokens after those of its parent,
// which are compared as they are, not by a hash. A node with fewer tokens than a page is a tail: a
// sequence ended there. Knows which page of each window group holds a node's
// keys and values, but not who uses it. Host only; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "kernels/op_types.h"
#include "kv/page_pool.h"

namespace tq {

constexpr PageId kNoPage = -1;
constexpr NodeId kRoot = 0;

class PrefixIndex {
 public:
  struct Node {
    NodeId parent = kNoNode;
    std::vector<int32_t> tokens;  // of this page
    std::vector<PageId> pages;    // of each group; kNoPage where it was forgotten
    uint64_t hash = 0;            // of all tokens up to the end of this page
    std::map<std::vector<int32_t>, NodeId> children;  // full pages
    std::map<std::vector<int32_t>, NodeId> tails;

    auto& next(size_t n_tokens) { return n_tokens == kKvBlockTokens ? children : tails; }
    const auto& next(size_t n_tokens) const {
      return n_tokens == kKvBlockTokens ? children : tails;
    }
  };

  PrefixIndex();
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  int64_t n_nodes() const { return static_cast<int64_t>(nodes_.size() - unused_.size()) - 1; }

  // The child or tail with exactly these tokens, or kNoNode.
  NodeId find(NodeId parent, std::span<const int32_t> tokens) const;
  // The tail after `parent` that begins with the most of these tokens, and how many those are.
  struct Tail {
    NodeId node = kNoNode;
    int64_t n_common = 0;
  };
  Tail find_tail(NodeId parent, std::span<const int32_t> tokens) const;
  // The same among tails and full pages.
  Tail find_nearest(NodeId parent, std::span<const int32_t> tokens) const;
  // Node::hash of one with these tokens after a parent with that hash.
  static uint64_t hash_after(uint64_t parent, std::span<const int32_t> tokens);
  // There must be none with these tokens.
  NodeId add(NodeId parent, std::span<const int32_t> tokens, std::vector<PageId> pages);
  void set_page(NodeId id, size_t group, PageId page) { at(id).pages[group] = page; }
  // It must have no children.
  void remove(NodeId id);

 private:
  Node& at(NodeId id) { return nodes_[static_cast<size_t>(id)]; }

  std::vector<Node> nodes_;  // the first is the root, which holds nothing
  std::vector<NodeId> unused_;
};

}  // namespace tq
