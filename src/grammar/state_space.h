// StateSpace: what a Grammar may be in while it matches, as numbers, made as they are needed. A
// state is a set of configurations (a state of an automaton and a stack of returns); stacks share
// their lower parts. Not thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "grammar/grammar.h"

namespace tq {

class StateSpace {
 public:
  static constexpr int32_t kDead = -1;

  explicit StateSpace(GrammarPtr grammar);

  // Before any text.
  int32_t initial();
  // Only this state of an automaton, in a rule whose caller is not known: where the rule ends, what
  // follows any of its calls may follow, and such texts are possible, not certain.
  int32_t local(int32_t automaton_state);

  // After one byte; kDead when it is not allowed.
  int32_t step(int32_t state, uint8_t byte) {
    const auto at = static_cast<size_t>(state) * n_classes_ + grammar_->class_of(byte);
    const int32_t next = steps_[at];
    return next != kUnknown ? next : find_step(state, grammar_->class_of(byte));
  }
  // Whether the text so far is one of the language.
  bool is_complete(int32_t state) const { return at(state).is_complete; }
  // Calls within calls, at most.
  int32_t depth(int32_t state) const;
  // Of a local() state and what follows it: what was matched is allowed for certain; or may be.
  bool is_certain(int32_t state) const { return at(state).is_certain; }
  bool is_possible(int32_t state) const { return at(state).is_possible; }

  // The states of automatons that may read the next byte.
  std::vector<int32_t> automaton_states(int32_t state) const;
  // A state that allows the same next Grammar::kLookahead bytes, the same for many.
  int32_t canonical(int32_t state);

  // A state as plain numbers, which another space of the grammar, or this after clear(), reads.
  std::vector<int32_t> save(int32_t state) const;
  int32_t restore(std::span<const int32_t> saved);

  // About what the space takes.
  size_t bytes() const;
  // All numbers of states lose their meaning.
  void clear();
  // Work that may be done from now on before an error ends it: configurations looked at, and what
  // spend() says. Throws kInvalidArgument.
  void set_budget(int64_t budget) { budget_ = budget; }
  void spend(int64_t work);

 private:
  static constexpr int32_t kUnknown = -2;
  static constexpr int32_t kBottom = 0;  // of a whole text; 1 + r: of rule r, for local()
  static constexpr size_t kMostConfigs = 4096;
  static constexpr size_t kMostPossible = 512;  // then anything is

  // Sorted: certain ones first.
  struct Config {
    bool is_possible_only;
    int32_t state;
    int32_t stack;
    bool operator==(const Config&) const = default;
    auto operator<=>(const Config&) const = default;
  };
  struct Stack {
    int32_t back;
    int32_t below;
    int32_t depth;
  };
  struct State {
    uint32_t begin = 0;  // in configs_
    uint32_t end = 0;
    bool is_complete = false;
    bool is_certain = false;
    bool is_possible = false;
    bool is_anything = false;  // any byte is possible
    int32_t canonical = kUnknown;
  };

  const State& at(int32_t state) const { return states_[static_cast<size_t>(state)]; }
  std::span<const Config> configs(const State& state) const {
    return std::span(configs_).subspan(state.begin, state.end - state.begin);
  }
  int32_t find_step(int32_t state, uint8_t byte_class);
  int32_t push(int32_t back, int32_t stack);
  void add(std::vector<Config>& list, Config config);
  // The state of these configurations and of those that they lead to without a byte.
  int32_t close(std::vector<Config> kernel);
  void leave(const Config& config, State& made, std::vector<Config>& list);
  int32_t intern(State made, const std::vector<Config>& active);
  uint64_t hash_of(const State& made, std::span<const Config> active) const;

  GrammarPtr grammar_;
  size_t n_classes_;
  std::vector<Stack> stacks_;
  std::unordered_map<uint64_t, int32_t> stack_ids_;
  std::vector<Config> configs_;
  std::vector<State> states_;
  std::vector<int32_t> steps_;  // [states, classes]
  std::unordered_multimap<uint64_t, int32_t> state_ids_;
  int64_t budget_ = int64_t{1} << 24;
  int32_t initial_ = kUnknown;
  std::unordered_set<uint64_t> seen_;  // scratch: of add(), for long lists
};

}  // namespace tq
