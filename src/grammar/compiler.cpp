#include "grammar/compiler.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/sort_unique.h"

namespace tq {
namespace {

[[noreturn]] void fail_size() {
  fail(ErrorCode::kInvalidArgument,
       "the grammar is too large: it needs more than {} states or {} edges; repeat less, or write "
       "alternatives that begin differently",
       GrammarLimits::kStates, GrammarLimits::kEdges);
}

}  // namespace

size_t GrammarCompiler::SetHash::operator()(const Set& set) const {
  uint64_t hash = set.size();
  for (const int32_t id : set) hash = (hash ^ static_cast<uint64_t>(id)) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 29;
}

int32_t GrammarCompiler::new_state() {
  if (static_cast<int64_t>(loose_.size()) >= 4 * GrammarLimits::kStates) fail_size();
  const auto id = static_cast<int32_t>(loose_.size());
  loose_.push_back({.edges = -1, .like = id});
  return id;
}

void GrammarCompiler::add_edge(int32_t from, LooseEdge edge) {
  if (static_cast<int64_t>(loose_edges_.size()) >= 4 * GrammarLimits::kEdges) fail_size();
  int32_t& first = loose_[static_cast<size_t>(from)].edges;
  edge.next = first;
  first = static_cast<int32_t>(loose_edges_.size());
  loose_edges_.push_back(edge);
}

void GrammarCompiler::emit(Expr expr, int32_t from, int32_t to) {
  using Kind = GrammarBuilder::Kind;
  const Node& node = builder_.node(expr);
  switch (node.kind) {
    case Kind::kText:
      return emit_text(node, from, to);
    case Kind::kChars:
      return emit_chars(node, from, to);
    case Kind::kSequence:
      return emit_sequence(node, from, to);
    case Kind::kChoice:
      for (const Expr option : node.parts) emit(option, from, to);
      return;
    case Kind::kRepeat:
      return emit_repeat(node, from, to);
    case Kind::kGraph:
      return emit_graph(node, from, to);
    case Kind::kCall:
      return add_edge(from, {EdgeKind::kCall, {}, node.number, to, -1});
  }
}

void GrammarCompiler::emit_text(const Node& node, int32_t from, int32_t to) {
  if (node.text.empty()) return add_free(from, to);
  for (size_t i = 0; i < node.text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(node.text[i]);
    const int32_t next = i + 1 == node.text.size() ? to : new_state();
    add_edge(from, {EdgeKind::kBytes, {byte, byte}, 0, next, -1});
    from = next;
  }
}

void GrammarCompiler::emit_chars(const Node& node, int32_t from, int32_t to) {
  // Characters that end alike share the states of their ends.
  std::map<std::vector<ByteRange>, int32_t> ends;
  for (const auto& sequence : node.bytes) {
    int32_t next = to;
    for (size_t i = sequence.size() - 1; i > 0; --i) {
      const std::vector<ByteRange> end(sequence.begin() + static_cast<ptrdiff_t>(i),
                                       sequence.end());
      const auto [found, is_new] = ends.try_emplace(end, 0);
      if (is_new) {
        found->second = new_state();
        add_edge(found->second, {EdgeKind::kBytes, sequence[i], 0, next, -1});
      }
      next = found->second;
    }
    add_edge(from, {EdgeKind::kBytes, sequence[0], 0, next, -1});
  }
}

void GrammarCompiler::emit_sequence(const Node& node, int32_t from, int32_t to) {
  if (node.parts.empty()) return add_free(from, to);
  for (size_t i = 0; i < node.parts.size(); ++i) {
    const int32_t next = i + 1 == node.parts.size() ? to : new_state();
    emit(node.parts[i], from, next);
    from = next;
  }
}

// Copies that are far from the least and the most number allow the same next few bytes.
void GrammarCompiler::emit_repeat(const Node& node, int32_t from, int32_t to) {
  constexpr int64_t kFar = Grammar::kLookahead + 1;
  const int64_t copies = node.most.value_or(node.least);
  std::pair<int64_t, int64_t> before = {-1, -1};
  int32_t first_like = 0;  // where the first copy of those alike begins
  for (int64_t i = 0; i < copies; ++i) {
    if (i >= node.least) add_free(from, to);
    const auto begin = static_cast<int32_t>(loose_.size());
    const int32_t start = new_state();
    add_free(from, start);
    const int32_t next = new_state();
    emit(node.parts[0], start, next);
    const std::pair key = {std::min(kFar, std::max<int64_t>(0, node.least - i)),
                           node.most ? std::min(kFar, *node.most - i) : kFar};
    if (key != before) {
      first_like = begin;
      before = key;
    }
    const auto end = static_cast<int32_t>(loose_.size());
    for (int32_t s = begin; s < end; ++s) {
      loose_[static_cast<size_t>(s)].like =
          loose_[static_cast<size_t>(first_like + s - begin)].like;
    }
    from = next;
  }
  if (!node.most) {
    const int32_t loop = new_state();
    add_free(from, loop);
    emit(node.parts[0], loop, loop);
    from = loop;
  }
  add_free(from, to);
}

void GrammarCompiler::emit_graph(const Node& node, int32_t from, int32_t to) {
  std::vector<int32_t> ids(static_cast<size_t>(node.number));
  for (int32_t& id : ids) id = new_state();
  add_free(from, ids.front());
  for (const GrammarBuilder::GraphEdge& edge : node.edges) {
    emit(edge.what, ids[static_cast<size_t>(edge.from)], ids[static_cast<size_t>(edge.to)]);
  }
  add_free(ids.back(), to);
}

GrammarCompiler::Set GrammarCompiler::closure(const std::vector<int32_t>& states) {
  ++mark_;
  marks_.resize(loose_.size(), 0);
  Set seen;
  const auto see = [&](int32_t state) {
    int32_t& mark = marks_[static_cast<size_t>(state)];
    if (mark == mark_) return;
    mark = mark_;
    seen.push_back(state);
  };
  for (const int32_t state : states) see(state);
  for (size_t i = 0; i < seen.size(); ++i) {
    for (int32_t e = loose_[static_cast<size_t>(seen[i])].edges; e >= 0;
         e = loose_edges_[static_cast<size_t>(e)].next) {
      const LooseEdge& edge = loose_edges_[static_cast<size_t>(e)];
      if (edge.kind == EdgeKind::kFree) see(edge.to);
    }
  }
  n_members_ += static_cast<int64_t>(seen.size());
  std::sort(seen.begin(), seen.end());
  return seen;
}

int32_t GrammarCompiler::state_of(Set set, int32_t rule) {
  const auto next = static_cast<int32_t>(states_.size());
  const auto [found, is_new] = ids_.try_emplace(std::move(set), next);
  if (is_new) {
    states_.push_back({.rule = rule, .like = next});
    sets_.push_back(found->first);
  }
  return found->second;
}

int32_t GrammarCompiler::state_after(int32_t state, int32_t rule) {
  int32_t& known = after_[static_cast<size_t>(state)];
  if (known < 0) known = state_of(closure({state}), rule);
  return known;
}

void GrammarCompiler::add_calls(int32_t id, const Set& set, int32_t rule, bool deterministic,
                                int32_t last) {
  std::map<int32_t, std::vector<int32_t>> backs;
  for (const int32_t member : set) {
    if (member == last) states_[static_cast<size_t>(id)].is_final = true;
    for (int32_t e = loose_[static_cast<size_t>(member)].edges; e >= 0;
         e = loose_edges_[static_cast<size_t>(e)].next) {
      const LooseEdge& edge = loose_edges_[static_cast<size_t>(e)];
      if (edge.kind == EdgeKind::kCall) backs[edge.rule].push_back(edge.to);
    }
  }
  for (auto& [called, targets] : backs) {
    if (deterministic) {
      calls_.push_back({id, {called, state_of(closure(targets), rule), false}});
      continue;
    }
    for (const int32_t target : targets) {
      calls_.push_back({id, {called, state_after(target, rule), false}});
    }
  }
}

void GrammarCompiler::add_bytes(int32_t id, const Set& set, int32_t rule, bool deterministic) {
  std::vector<std::pair<ByteRange, int32_t>> edges;
  std::array<bool, 257> begins{};
  for (const int32_t member : set) {
    for (int32_t e = loose_[static_cast<size_t>(member)].edges; e >= 0;
         e = loose_edges_[static_cast<size_t>(e)].next) {
      const LooseEdge& edge = loose_edges_[static_cast<size_t>(e)];
      if (edge.kind != EdgeKind::kBytes) continue;
      edges.emplace_back(edge.bytes, edge.to);
      begins[edge.bytes.first] = begins[edge.bytes.last + 1u] = true;
    }
  }
  if (!deterministic) {
    for (const auto& [bytes, target] : edges) {
      edges_.push_back({id, bytes, state_after(target, rule)});
    }
    return;
  }
  // Stretches of bytes between which the targets change.
  std::array<int, 256> stretch_of{};
  std::vector<ByteRange> stretches;
  for (int byte = 0; byte < 256; ++byte) {
    const auto value = static_cast<uint8_t>(byte);
    if (byte == 0 || begins[static_cast<size_t>(byte)]) stretches.push_back({value, value});
    stretches.back().last = value;
    stretch_of[static_cast<size_t>(byte)] = static_cast<int>(stretches.size()) - 1;
  }
  std::vector<std::vector<int32_t>> targets(stretches.size());
  for (const auto& [bytes, target] : edges) {
    for (int s = stretch_of[bytes.first]; s <= stretch_of[bytes.last]; ++s) {
      targets[static_cast<size_t>(s)].push_back(target);
    }
  }
  const size_t first = edges_.size();
  for (size_t s = 0; s < stretches.size(); ++s) {
    if (targets[s].empty()) continue;
    const int32_t target = state_of(closure(targets[s]), rule);
    if (edges_.size() > first && edges_.back().target == target &&
        edges_.back().bytes.last + 1 == stretches[s].first) {
      edges_.back().bytes.last = stretches[s].last;
    } else {
      edges_.push_back({id, stretches[s], target});
    }
  }
}

bool GrammarCompiler::tighten(int32_t rule, int32_t first, int32_t last, bool deterministic) {
  const auto first_id = static_cast<int32_t>(states_.size());
  const size_t n_edges = edges_.size();
  const size_t n_calls = calls_.size();
  const auto most_states = 256 + 4 * static_cast<int64_t>(loose_.size());
  const auto most_members = 10000 + 100 * static_cast<int64_t>(loose_.size());
  ids_.clear();
  sets_.clear();
  n_members_ = 0;
  after_.assign(loose_.size(), -1);
  starts_[static_cast<size_t>(rule)] = state_of(closure({first}), rule);
  for (auto id = first_id; id < static_cast<int32_t>(states_.size()); ++id) {
    const Set set = sets_[static_cast<size_t>(id - first_id)];
    add_calls(id, set, rule, deterministic, last);
    add_bytes(id, set, rule, deterministic);
    const auto n_states = static_cast<int64_t>(states_.size());
    const bool is_large =
        n_states > GrammarLimits::kStates ||
        static_cast<int64_t>(edges_.size() + calls_.size()) > GrammarLimits::kEdges ||
        n_members_ > 2 * GrammarLimits::kEdges;
    if (!deterministic && is_large) fail_size();
    if (is_large ||
        (deterministic && (n_states - first_id > most_states || n_members_ > most_members))) {
      states_.resize(static_cast<size_t>(first_id));
      edges_.resize(n_edges);
      calls_.resize(n_calls);
      return false;
    }
  }
  find_likes(first_id);
  return true;
}

// A set whose members all have others that are like them is like the set of these.
void GrammarCompiler::find_likes(int32_t first_id) {
  for (size_t i = 0; i < sets_.size(); ++i) {
    Set like = sets_[i];
    for (int32_t& member : like) member = loose_[static_cast<size_t>(member)].like;
    sort_unique(like);
    const auto found = ids_.find(like);
    if (found == ids_.end()) continue;
    states_[static_cast<size_t>(first_id) + i].like = found->second;
  }
}

void GrammarCompiler::add_rule(int32_t rule, Expr what) {
  loose_.clear();
  loose_edges_.clear();
  marks_.clear();
  mark_ = 0;
  const int32_t first = new_state();
  const int32_t last = new_state();
  emit(what, first, last);
  if (!tighten(rule, first, last, true)) tighten(rule, first, last, false);
}

GrammarPtr GrammarCompiler::compile(Expr root) {
  const auto n_rules = static_cast<int32_t>(builder_.rules_.size());
  starts_.resize(static_cast<size_t>(n_rules) + 1);
  for (int32_t rule = 0; rule < n_rules; ++rule) {
    const GrammarBuilder::Rule& written = builder_.rules_[static_cast<size_t>(rule)];
    if (!written.what) {
      fail(ErrorCode::kInvalidArgument, "the rule {} is used and not defined", written.name);
    }
    add_rule(rule, *written.what);
  }
  add_rule(n_rules, root);
  grammar_.root_ = n_rules;
  keep_useful();
  check_left_recursion();
  find_classes();
  finish();
  return std::make_shared<const Grammar>(std::move(grammar_));
}

GrammarPtr GrammarBuilder::compile(Expr root) const { return GrammarCompiler(*this).compile(root); }

}  // namespace tq
