#include "grammar/builder.h"

#include <algorithm>

#include "base/error.h"

namespace tq {

std::string special_token_bytes(int32_t id) {
  const auto bits = static_cast<uint32_t>(id);
  std::string bytes = "\xFF";
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
  return bytes;
}

GrammarExpr GrammarBuilder::add(Node node) {
  if (static_cast<int64_t>(nodes_.size()) >= GrammarLimits::kExpressions) {
    fail(ErrorCode::kInvalidArgument, "the grammar is too large: it has more than {} parts",
         GrammarLimits::kExpressions);
  }
  node.n_states = std::min(node.n_states, 2 * GrammarLimits::kStates);
  if (node.n_states > GrammarLimits::kStates) {
    fail(ErrorCode::kInvalidArgument,
         "the grammar is too large: it needs more than {} states; repeat less, or less often",
         GrammarLimits::kStates);
  }
  for (const Expr part : node.parts) {
    node.depth = std::max(node.depth, this->node(part).depth + 1);
  }
  for (const GraphEdge& edge : node.edges) {
    node.depth = std::max(node.depth, this->node(edge.what).depth + 1);
  }
  if (node.depth > GrammarLimits::kDepth) {
    fail(ErrorCode::kInvalidArgument, "the grammar is too large: its parts are nested over {} deep",
         GrammarLimits::kDepth);
  }
  nodes_.push_back(std::move(node));
  return {static_cast<int32_t>(nodes_.size()) - 1};
}

GrammarExpr GrammarBuilder::text(std::string_view bytes) {
  return add({.kind = Kind::kText,
              .n_states = static_cast<int64_t>(bytes.size()),
              .text = std::string(bytes)});
}

GrammarExpr GrammarBuilder::chars(const CharSet& set) {
  Node node{.kind = Kind::kChars, .is_never = set.empty(), .bytes = utf8_sequences(set)};
  for (const auto& sequence : node.bytes) node.n_states += static_cast<int64_t>(sequence.size());
  return add(std::move(node));
}

GrammarExpr GrammarBuilder::token(int32_t id) { return text(special_token_bytes(id)); }

GrammarExpr GrammarBuilder::sequence(std::vector<Expr> parts) {
  Node made{.kind = Kind::kSequence};
  for (const Expr part : parts) {
    made.is_never = made.is_never || node(part).is_never;
    made.n_states += node(part).n_states + 1;
  }
  if (made.is_never) return never();
  made.parts = std::move(parts);
  return add(std::move(made));
}

GrammarExpr GrammarBuilder::choice(std::vector<Expr> options) {
  std::erase_if(options, [&](Expr option) { return node(option).is_never; });
  if (options.size() == 1) return options[0];
  Node made{.kind = Kind::kChoice, .is_never = options.empty()};
  for (const Expr option : options) made.n_states += node(option).n_states;
  made.parts = std::move(options);
  return add(std::move(made));
}

GrammarExpr GrammarBuilder::repeat(Expr what, int64_t least, std::optional<int64_t> most) {
  const int64_t copies = most.value_or(least + 1);
  if (least < 0 || (most && *most < least)) {
    fail(ErrorCode::kInvalidArgument, "a repetition of {} to {} times is none", least, *most);
  }
  if (copies > GrammarLimits::kRepeats) {
    fail(ErrorCode::kInvalidArgument, "something is repeated {} times: {} is the most", copies,
         GrammarLimits::kRepeats);
  }
  if (node(what).is_never) return least > 0 ? never() : empty();
  // (x?){n} is x{0,n}, and (x*){n} is x*: of copies that can all be empty every state would lead to
  // every later one.
  if (node(what).kind == Kind::kRepeat && node(what).least == 0) {
    if (!node(what).most) return most == 0 ? empty() : what;
    if (node(what).most == 1) return repeat(node(what).parts[0], 0, most);
  }
  return add({.kind = Kind::kRepeat,
              .n_states = (node(what).n_states + 1) * copies + 1,
              .parts = {what},
              .least = least,
              .most = most});
}

GrammarExpr GrammarBuilder::graph(int32_t n_nodes, std::vector<GraphEdge> edges) {
  std::erase_if(edges, [&](const GraphEdge& edge) { return node(edge.what).is_never; });
  Node made{.kind = Kind::kGraph, .n_states = n_nodes, .number = n_nodes};
  for (const GraphEdge& edge : edges) made.n_states += node(edge.what).n_states;
  made.edges = std::move(edges);
  return add(std::move(made));
}

int32_t GrammarBuilder::add_rule(std::string name) {
  if (static_cast<int64_t>(rules_.size()) >= GrammarLimits::kExpressions / 4) {
    fail(ErrorCode::kInvalidArgument, "the grammar has more than {} rules",
         GrammarLimits::kExpressions / 4);
  }
  rules_.push_back({std::move(name), std::nullopt});
  return static_cast<int32_t>(rules_.size()) - 1;
}

void GrammarBuilder::define(int32_t rule, Expr what) {
  rules_[static_cast<size_t>(rule)].what = what;
}

bool GrammarBuilder::is_defined(int32_t rule) const {
  return rules_[static_cast<size_t>(rule)].what.has_value();
}

GrammarExpr GrammarBuilder::call(int32_t rule) {
  return add({.kind = Kind::kCall, .n_states = 1, .number = rule});
}

}  // namespace tq
