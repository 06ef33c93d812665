// GrammarBuilder: expressions over bytes and rules that may call each other, made into a Grammar.
//   GrammarBuilder b;
//   GrammarPtr g = b.compile(b.sequence({b.text("<"), add_json_schema(b, schema), b.text(">")}));
// Not thread safe. Throws kInvalidArgument where a limit is passed (GrammarLimits).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/grammar.h"

namespace tq {

class GrammarBuilder {
 public:
  // An expression of this builder; may be used any number of times.
  struct Expr {
    int32_t id = 0;
  };
  struct GraphEdge {
    int32_t from;
    int32_t to;
    Expr what;
  };

  Expr empty() { return sequence({}); }
  Expr never() { return choice({}); }  // no text at all
  Expr text(std::string_view bytes);
  Expr chars(const CharSet& set);  // one of them, as UTF-8
  // A special token: no text, and only that id, is this.
  Expr token(int32_t id);
  Expr sequence(std::vector<Expr> parts);
  Expr choice(std::vector<Expr> options);
  Expr optional(Expr what) { return repeat(what, 0, 1); }
  // most absent: without end.
  Expr repeat(Expr what, int64_t least, std::optional<int64_t> most);
  // All paths of nodes from 0 to n_nodes - 1.
  Expr graph(int32_t n_nodes, std::vector<GraphEdge> edges);

  // A rule may be called before it is defined. The name is for messages.
  int32_t add_rule(std::string name);
  void define(int32_t rule, Expr what);
  bool is_defined(int32_t rule) const;
  Expr call(int32_t rule);

  // Whether the expression is never() for sure.
  bool is_never(Expr what) const { return node(what).is_never; }

  GrammarPtr compile(Expr root) const;

 private:
  friend class GrammarCompiler;

  enum class Kind : uint8_t { kText, kChars, kSequence, kChoice, kRepeat, kGraph, kCall };
  struct Node {
    Kind kind;
    bool is_never = false;
    int64_t n_states = 0;  // that it takes at most
    int32_t depth = 0;     // of parts within parts
    std::string text;
    std::vector<std::vector<ByteRange>> bytes;
    std::vector<Expr> parts;
    std::vector<GraphEdge> edges;
    int32_t number = 0;  // the rule, or nodes
    int64_t least = 0;
    std::optional<int64_t> most = {};
  };
  struct Rule {
    std::string name;
    std::optional<Expr> what;
  };

  Expr add(Node node);
  const Node& node(Expr expr) const { return nodes_[static_cast<size_t>(expr.id)]; }

  std::vector<Node> nodes_;
  std::vector<Rule> rules_;
};

using GrammarExpr = GrammarBuilder::Expr;

// The bytes by which a special token stands in a grammar and in a Vocabulary: no UTF-8.
std::string special_token_bytes(int32_t id);

// What compile_json_schema and compile_regex compile, as parts of something larger.
GrammarExpr add_json_schema(GrammarBuilder& builder, const Json& schema);
GrammarExpr add_regex(GrammarBuilder& builder, std::string_view pattern);

}  // namespace tq
