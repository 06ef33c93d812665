// GrammarCompiler: expressions of a GrammarBuilder into a Grammar. Each rule becomes an automaton
// (Thompson's), which is made deterministic where that does not make it much larger.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/builder.h"

namespace tq {

class GrammarCompiler {
 public:
  explicit GrammarCompiler(const GrammarBuilder& builder) : builder_(builder) {}
  GrammarPtr compile(GrammarExpr root);

 private:
  using Expr = GrammarExpr;
  using Node = GrammarBuilder::Node;
  using Set = std::vector<int32_t>;  // of loose states, sorted

  // An edge of the automaton that expressions become at first.
  enum class EdgeKind : uint8_t { kFree, kBytes, kCall };
  struct LooseEdge {
    EdgeKind kind;
    ByteRange bytes;
    int32_t rule;
    int32_t to;
    int32_t next;  // of the same state; -1: none
  };
  struct LooseState {
    int32_t edges = -1;
    int32_t like = 0;
  };
  struct SetHash {
    size_t operator()(const Set& set) const;
  };
  struct WideEdge {
    int32_t from;
    ByteRange bytes;
    int32_t target;
  };
  struct WideCall {
    int32_t from;
    Grammar::Call call;
  };

  int32_t new_state();
  void add_edge(int32_t from, LooseEdge edge);
  void add_free(int32_t from, int32_t to) { add_edge(from, {EdgeKind::kFree, {}, 0, to, -1}); }
  void emit(Expr expr, int32_t from, int32_t to);
  void emit_text(const Node& node, int32_t from, int32_t to);
  void emit_chars(const Node& node, int32_t from, int32_t to);
  void emit_sequence(const Node& node, int32_t from, int32_t to);
  void emit_repeat(const Node& node, int32_t from, int32_t to);
  void emit_graph(const Node& node, int32_t from, int32_t to);

  void add_rule(int32_t rule, Expr what);
  // False where it would become too large.
  bool tighten(int32_t rule, int32_t first, int32_t last, bool deterministic);
  Set closure(const std::vector<int32_t>& states);
  int32_t state_of(Set set, int32_t rule);
  int32_t state_after(int32_t state, int32_t rule);  // of its closure
  void add_calls(int32_t id, const Set& set, int32_t rule, bool deterministic, int32_t last);
  void add_bytes(int32_t id, const Set& set, int32_t rule, bool deterministic);
  void find_likes(int32_t first_id);

  void keep_useful();
  // Rules that are called before a byte is matched, of each rule.
  std::vector<std::vector<int32_t>> first_calls() const;
  void check_left_recursion() const;
  void find_classes();
  void finish();

  const GrammarBuilder& builder_;
  std::vector<LooseState> loose_;
  std::vector<LooseEdge> loose_edges_;
  std::vector<int32_t> marks_;  // of loose states: in which closure they were seen last
  int32_t mark_ = 0;
  std::unordered_map<Set, int32_t, SetHash> ids_;  // of the rule at work
  std::vector<Set> sets_;                          // likewise, from first_id on
  std::vector<int32_t> after_;                     // state_after(), by loose states; -1: not yet
  int64_t n_members_ = 0;

  std::vector<Grammar::State> states_;
  std::vector<WideEdge> edges_;
  std::vector<WideCall> calls_;
  std::vector<int32_t> starts_;
  Grammar grammar_;
};

}  // namespace tq
