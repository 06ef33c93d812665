// Grammar: a language of texts as an automaton over bytes, with calls of rules (a pushdown
// automaton). Made by a GrammarBuilder or by a front end below; immutable and thread safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

// Every way to make a grammar ends in an error (kInvalidArgument for what contradicts itself or is
// no grammar, kUnsupported for what is none of ours) when it would be larger than this.
struct GrammarLimits {
  static constexpr size_t kTextBytes = size_t{1} << 18;
  static constexpr int kNesting = 64;
  static constexpr int kDepth = 2000;  // of parts, as "a***" nests them; compiling recurses so deep
  static constexpr int64_t kRepeats = 20000;  // of one repetition that ends
  static constexpr int64_t kStates = 300000;  // in all
  static constexpr int64_t kEdges = 1500000;  // likewise
  static constexpr int64_t kExpressions = 200000;
  static constexpr size_t kStackDepth = 256;  // calls within calls while a text is matched
};

class Grammar {
 public:
  // Bytes are in classes that the grammar does not tell apart.
  struct ByteEdge {
    uint8_t first_class;
    uint8_t last_class;
    int32_t target;
  };
  struct Call {
    int32_t rule;
    int32_t back;  // the state after it
    bool is_tail;  // nothing can follow there: the caller ends with the rule
  };
  struct State {
    int32_t edges_begin = 0;
    int32_t edges_end = 0;
    int32_t calls_begin = 0;
    int32_t calls_end = 0;
    int32_t rule = 0;
    // A state that allows the same texts of up to kLookahead bytes.
    int32_t like = 0;
    bool is_final = false;  // the rule may end here
  };
  static constexpr int64_t kLookahead = 32;

  std::span<const ByteEdge> edges(const State& state) const {
    return std::span(edges_).subspan(static_cast<size_t>(state.edges_begin),
                                     static_cast<size_t>(state.edges_end - state.edges_begin));
  }
  std::span<const Call> calls(const State& state) const {
    return std::span(calls_).subspan(static_cast<size_t>(state.calls_begin),
                                     static_cast<size_t>(state.calls_end - state.calls_begin));
  }
  const State& state(int32_t id) const { return states_[static_cast<size_t>(id)]; }
  int32_t n_states() const { return static_cast<int32_t>(states_.size()); }
  int32_t n_rules() const { return static_cast<int32_t>(starts_.size()); }
  int32_t start(int32_t rule) const { return starts_[static_cast<size_t>(rule)]; }
  int32_t root() const { return root_; }
  // States after a call of the rule, anywhere.
  const std::vector<int32_t>& backs(int32_t rule) const {
    return backs_[static_cast<size_t>(rule)];
  }
  uint8_t class_of(uint8_t byte) const { return classes_[byte]; }
  int n_classes() const { return n_classes_; }

  // Whether the whole text is one of the language.
  bool matches(std::string_view text) const;

 private:
  friend class GrammarCompiler;

  std::vector<State> states_;
  std::vector<ByteEdge> edges_;
  std::vector<Call> calls_;
  std::vector<int32_t> starts_;
  std::vector<std::vector<int32_t>> backs_;
  std::array<uint8_t, 256> classes_{};
  int n_classes_ = 1;
  int32_t root_ = 0;
};

using GrammarPtr = std::shared_ptr<const Grammar>;

// EBNF as llama.cpp reads it (GBNF); the rule "root" is the language. Errors name the line.
GrammarPtr compile_gbnf(std::string_view text);

// A regular expression that the whole text must match, in the syntax of JavaScript and Python that
// describes regular languages. Errors name the place.
GrammarPtr compile_regex(std::string_view pattern);

// One of the texts.
GrammarPtr compile_choices(std::span<const std::string> texts);

// A JSON value of the schema, as docs/serving.md lists what is supported; errors name the place
// (a JSON pointer) and the keyword. The value is written with its keys in the schema's order.
GrammarPtr compile_json_schema(const Json& schema);

// Any JSON object.
GrammarPtr compile_json_object();

}  // namespace tq
