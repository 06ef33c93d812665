// Pages in host memory: what is given up is saved there, and what a sequence begins with is brought
// back before it adopts it.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kv/pages.h"

namespace tq {

// A page that a window has left is of use only to a sequence that ends there: it is not worth it.
void Pages::save(NodeId id, size_t group) {
  if (host_ == nullptr) return;
  const PrefixIndex::Node& node = index_.node(id);
  const PageId page = node.pages[group];
  if (node.tokens.size() < kKvBlockTokens || page == kNoPage) return;
  if (group > 0 && pools_[group].reuse(page) == Reuse::kUnlikely) return;
  const HostPages::Key key = {group, index_.node(node.parent).hash, node.tokens};
  std::byte* const to = host_->add(key);
  if (to == nullptr) return;
  try {
    mover_->save(group, page, to);
  } catch (const Error&) {  // of a device, which says so again when it is used
    host_->drop(key);
  }
}

Pages::Path Pages::known_path(std::span<const int32_t> tokens) const {
  Path path;
  path.hashes.push_back(index_.node(kRoot).hash);
  const size_t n_pages = tokens.size() / kKvBlockTokens;
  std::vector<size_t> whole_from(n_groups(), 0);  // pages from which on a group has all
  bool has_sinks = true;
  size_t best = 0;
  NodeId at = kRoot;
  for (size_t i = 0; i < n_pages; ++i) {
    const auto page = page_tokens(tokens, static_cast<int64_t>(i));
    at = at == kNoNode ? kNoNode : index_.find(at, page);
    const auto is_there = [&](size_t g) {
      return (at != kNoNode && index_.node(at).pages[g] != kNoPage) ||
             host_->find({g, path.hashes.back(), page}) != nullptr;
    };
    if (!is_there(0)) break;
    bool goes_on = true;
    const auto end = static_cast<int64_t>(i + 1) * kKvBlockTokens;
    for (size_t g = 1; g < n_groups(); ++g) {
      if (!is_there(g)) whole_from[g] = i + 1;
      if (is_near(g)) {  // without its tail it goes on, as match() says
        has_sinks &= static_cast<int64_t>(i) >= n_sinks(g) || is_there(g);
        continue;
      }
      goes_on &= whole_from[g] <= static_cast<size_t>(first_page_seen(end, windows_[g]));
    }
    path.nodes.push_back(at);
    path.hashes.push_back(at != kNoNode ? index_.node(at).hash
                                        : PrefixIndex::hash_after(path.hashes.back(), page));
    if (goes_on && has_sinks) best = i + 1;
  }
  path.nodes.resize(best);
  path.hashes.resize(best + 1);
  return path;
}

std::vector<Pages::Missing> Pages::missing_of(const Path& path,
                                              std::span<const int32_t> tokens) const {
  std::vector<Missing> missing;
  const auto end = static_cast<int64_t>(path.nodes.size()) * kKvBlockTokens;
  const auto is_here = [&](size_t g, size_t i) {
    return path.nodes[i] != kNoNode && index_.node(path.nodes[i]).pages[g] != kNoPage;
  };
  const auto is_on_host = [&](size_t g, size_t i) {
    const auto page = page_tokens(tokens, static_cast<int64_t>(i));
    return host_->find({g, path.hashes[i], page}) != nullptr;
  };
  // A part of a tail is of no use, and its pages would take the place of others that are.
  bool tail_is_whole = near_.group > 0;
  for (auto i = static_cast<size_t>(first_page_seen(end, windows_[near_.group]));
       i < path.nodes.size() && tail_is_whole; ++i) {
    tail_is_whole = is_here(near_.group, i) || is_on_host(near_.group, i);
  }
  for (size_t i = 0; i < path.nodes.size(); ++i) {
    for (size_t g = 0; g < n_groups(); ++g) {
      if (!is_seen(g, static_cast<int64_t>(i), end)) continue;
      if (is_here(g, i)) continue;
      const bool is_sink = static_cast<int64_t>(i) < n_sinks(g);
      if (is_near(g) && ((!is_sink && !tail_is_whole) || !is_on_host(g, i))) continue;
      missing.push_back({g, i});
    }
  }
  return missing;
}

bool Pages::bring(const Missing& missing, Path& path, std::span<const int32_t> tokens,
                  std::vector<std::vector<PageId>>& held) {
  const auto [g, i] = missing;
  const auto its_tokens = page_tokens(tokens, static_cast<int64_t>(i));
  const PageId page = take(g);
  try {
    mover_->load(g, page, host_->find({g, path.hashes[i], its_tokens}));
  } catch (const Error&) {
    pools_[g].drop(page, Reuse::kLikely);  // is free again: it has no node
    return false;
  }
  if (path.nodes[i] == kNoNode) {
    std::vector<PageId> pages(n_groups(), kNoPage);
    pages[g] = page;  // group 0, which comes first
    path.nodes[i] = index_.add(i == 0 ? kRoot : path.nodes[i - 1], its_tokens, std::move(pages));
  } else {
    index_.set_page(path.nodes[i], g, page);
  }
  pools_[g].assign(page, path.nodes[i]);
  held[g].push_back(page);
  return true;
}

bool Pages::restore(std::span<const int32_t> tokens, int64_t n_found) {
  if (tokens.empty()) return false;
  tokens = tokens.first(tokens.size() - 1);
  Path path = known_path(tokens);
  if (static_cast<int64_t>(path.nodes.size()) * kKvBlockTokens <= n_found) return false;
  const std::vector<Missing> missing = missing_of(path, tokens);
  if (missing.empty()) return false;  // near pages that are nowhere
  // What is here of the path must not be given up meanwhile, here or there.
  std::vector<std::vector<PageId>> held(n_groups());
  const auto end = static_cast<int64_t>(path.nodes.size()) * kKvBlockTokens;
  for (size_t i = 0; i < path.nodes.size() && path.nodes[i] != kNoNode; ++i) {
    for (size_t g = 0; g < n_groups(); ++g) {
      const PageId page = index_.node(path.nodes[i]).pages[g];
      if (page == kNoPage || !is_seen(g, static_cast<int64_t>(i), end)) continue;
      pools_[g].share(page);
      held[g].push_back(page);
    }
  }
  std::vector<int64_t> n_wanted(n_groups(), 0);
  for (const Missing& one : missing) ++n_wanted[one.group];
  bool fits = true;
  for (size_t g = 0; g < n_groups(); ++g) fits &= n_wanted[g] <= pools_[g].n_available();
  if (fits) {
    const auto key_of = [&](const Missing& one) {
      return HostPages::Key{one.group, path.hashes[one.index],
                            page_tokens(tokens, static_cast<int64_t>(one.index))};
    };
    for (const Missing& one : missing) host_->hold(key_of(one));
    for (const Missing& one : missing) {
      if (!bring(one, path, tokens, held)) break;
    }
    for (const Missing& one : missing) host_->let_go(key_of(one));
  }
  // In the order of release(): what follows something is given up before it.
  std::reverse(held[0].begin(), held[0].end());
  for (size_t g = 0; g < n_groups(); ++g) {
    for (const PageId page : held[g]) pools_[g].drop(page, Reuse::kLikely);
  }
  return true;
}

}  // namespace tq
