// What a GrammarCompiler does when all rules are automata: what leads nowhere is dropped, rules
// that would call themselves without end are refused, and the tables are filled.
#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/sort_unique.h"
#include "grammar/compiler.h"

namespace tq {

// Drops edges and calls from which no text can be finished; fails when nothing is left.
void GrammarCompiler::keep_useful() {
  // Backwards from final states; a call is passed when its rule can be finished.
  std::vector<std::vector<int32_t>> before(states_.size());
  for (const WideEdge& edge : edges_) before[static_cast<size_t>(edge.target)].push_back(edge.from);
  std::vector<std::vector<size_t>> calls_back(states_.size());  // that go on in a state
  std::vector<std::vector<size_t>> calls_of(starts_.size());    // of a rule
  for (size_t i = 0; i < calls_.size(); ++i) {
    calls_back[static_cast<size_t>(calls_[i].call.back)].push_back(i);
    calls_of[static_cast<size_t>(calls_[i].call.rule)].push_back(i);
  }
  std::vector<bool> ends(states_.size(), false);  // the rule can be finished from here
  std::vector<bool> is_done(starts_.size(), false);
  std::vector<int32_t> todo;
  const auto add = [&](int32_t state) {
    if (ends[static_cast<size_t>(state)]) return;
    ends[static_cast<size_t>(state)] = true;
    todo.push_back(state);
  };
  for (size_t s = 0; s < states_.size(); ++s) {
    if (states_[s].is_final) add(static_cast<int32_t>(s));
  }
  while (!todo.empty()) {
    const int32_t state = todo.back();
    todo.pop_back();
    for (const int32_t from : before[static_cast<size_t>(state)]) add(from);
    for (const size_t i : calls_back[static_cast<size_t>(state)]) {
      if (is_done[static_cast<size_t>(calls_[i].call.rule)]) add(calls_[i].from);
    }
    const auto rule = static_cast<size_t>(states_[static_cast<size_t>(state)].rule);
    if (starts_[rule] != state) continue;
    is_done[rule] = true;
    for (const size_t i : calls_of[rule]) {
      if (ends[static_cast<size_t>(calls_[i].call.back)]) add(calls_[i].from);
    }
  }
  if (!is_done[static_cast<size_t>(grammar_.root_)]) {
    fail(ErrorCode::kInvalidArgument, "no text can be finished that the grammar allows");
  }
  std::erase_if(edges_, [&](const WideEdge& e) { return !ends[static_cast<size_t>(e.target)]; });
  std::erase_if(calls_, [&](const WideCall& c) {
    return !ends[static_cast<size_t>(c.call.back)] || !is_done[static_cast<size_t>(c.call.rule)];
  });
}

std::vector<std::vector<int32_t>> GrammarCompiler::first_calls() const {
  const size_t n = starts_.size();
  std::vector<std::vector<const Grammar::Call*>> calls(states_.size());
  for (const WideCall& call : calls_) calls[static_cast<size_t>(call.from)].push_back(&call.call);
  std::vector<std::vector<int32_t>> found(n);
  std::vector<bool> is_nullable(n, false);      // the rule can match nothing
  std::vector<std::vector<size_t>> waiting(n);  // rules that go on where this one is nullable
  std::vector<size_t> marks(states_.size(), 0);
  size_t mark = 0;
  std::vector<size_t> todo(n);
  for (size_t rule = 0; rule < n; ++rule) todo[rule] = rule;
  for (size_t t = 0; t < todo.size(); ++t) {
    const size_t rule = todo[t];
    std::vector<int32_t> seen;
    ++mark;
    const auto see = [&](int32_t state) {
      if (std::exchange(marks[static_cast<size_t>(state)], mark) != mark) seen.push_back(state);
    };
    see(starts_[rule]);
    found[rule].clear();
    bool ends = false;
    for (size_t i = 0; i < seen.size(); ++i) {
      const auto state = static_cast<size_t>(seen[i]);
      ends = ends || states_[state].is_final;
      for (const Grammar::Call* call : calls[state]) {
        found[rule].push_back(call->rule);
        if (is_nullable[static_cast<size_t>(call->rule)]) see(call->back);
      }
    }
    sort_unique(found[rule]);
    for (const int32_t called : found[rule]) {
      if (!is_nullable[static_cast<size_t>(called)]) {
        waiting[static_cast<size_t>(called)].push_back(rule);
      }
    }
    if (!ends || is_nullable[rule]) continue;
    is_nullable[rule] = true;
    for (const size_t other : std::exchange(waiting[rule], {})) todo.push_back(other);
  }
  return found;
}

// A rule that calls itself before it has matched a byte would never end.
void GrammarCompiler::check_left_recursion() const {
  const std::vector<std::vector<int32_t>> first = first_calls();
  const size_t n = first.size();
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> colours(n, kNew);
  for (size_t root = 0; root < n; ++root) {
    std::vector<std::pair<size_t, size_t>> path;  // rule, and the next of its calls
    if (colours[root] == kNew) path.emplace_back(root, 0);
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      colours[rule] = kOpen;
      if (next == first[rule].size()) {
        colours[rule] = kDone;
        path.pop_back();
        continue;
      }
      const auto called = static_cast<size_t>(first[rule][next++]);
      if (colours[called] == kOpen) {
        fail(ErrorCode::kInvalidArgument,
             "{} begins with itself (left recursion): it must match something before it calls "
             "itself",
             builder_.rules_[called].name);
      }
      if (colours[called] == kNew) path.emplace_back(called, 0);
    }
  }
}

void GrammarCompiler::find_classes() {
  std::array<bool, 257> begins{};
  for (const WideEdge& edge : edges_) {
    begins[edge.bytes.first] = begins[edge.bytes.last + 1u] = true;
  }
  int n = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte > 0 && begins[byte]) ++n;
    grammar_.classes_[byte] = static_cast<uint8_t>(n);
  }
  grammar_.n_classes_ = n + 1;
}

void GrammarCompiler::finish() {
  const auto by_state = [](const auto& a, const auto& b) { return a.from < b.from; };
  std::stable_sort(edges_.begin(), edges_.end(), by_state);
  std::stable_sort(calls_.begin(), calls_.end(), by_state);
  for (const WideEdge& edge : edges_) {
    Grammar::State& state = states_[static_cast<size_t>(edge.from)];
    if (state.edges_end == 0) state.edges_begin = static_cast<int32_t>(grammar_.edges_.size());
    grammar_.edges_.push_back(
        {grammar_.classes_[edge.bytes.first], grammar_.classes_[edge.bytes.last], edge.target});
    state.edges_end = static_cast<int32_t>(grammar_.edges_.size());
  }
  for (const WideCall& call : calls_) {
    Grammar::State& state = states_[static_cast<size_t>(call.from)];
    if (state.calls_end == 0) state.calls_begin = static_cast<int32_t>(grammar_.calls_.size());
    grammar_.calls_.push_back(call.call);
    state.calls_end = static_cast<int32_t>(grammar_.calls_.size());
  }
  grammar_.backs_.resize(starts_.size());
  for (Grammar::Call& call : grammar_.calls_) {
    const Grammar::State& back = states_[static_cast<size_t>(call.back)];
    call.is_tail = back.is_final && back.edges_end == 0 && back.calls_end == 0;
    grammar_.backs_[static_cast<size_t>(call.rule)].push_back(call.back);
  }
  for (std::vector<int32_t>& backs : grammar_.backs_) {
    sort_unique(backs);
  }
  grammar_.states_ = std::move(states_);
  grammar_.starts_ = std::move(starts_);
}

}  // namespace tq
