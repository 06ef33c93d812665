#include "grammar/state_space.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/sort_unique.h"

namespace tq {

StateSpace::StateSpace(GrammarPtr grammar)
    : grammar_(std::move(grammar)), n_classes_(static_cast<size_t>(grammar_->n_classes())) {
  clear();
}

void StateSpace::clear() {
  stacks_.assign(static_cast<size_t>(grammar_->n_rules()) + 1, {-1, -1, 0});
  stack_ids_.clear();
  configs_.clear();
  states_.clear();
  steps_.clear();
  state_ids_.clear();
  initial_ = kUnknown;
}

size_t StateSpace::bytes() const {
  constexpr size_t kOfMapEntry = 64;
  return stacks_.size() * sizeof(Stack) + configs_.size() * sizeof(Config) +
         states_.size() * sizeof(State) + steps_.size() * sizeof(int32_t) +
         (stack_ids_.size() + state_ids_.size()) * kOfMapEntry;
}

void StateSpace::spend(int64_t work) {
  budget_ -= work;
  if (budget_ >= 0) return;
  fail(ErrorCode::kInvalidArgument,
       "the grammar is too ambiguous: too many ways lead through the same text; write alternatives "
       "that begin differently");
}

int32_t StateSpace::push(int32_t back, int32_t stack) {
  const auto key =
      static_cast<uint64_t>(static_cast<uint32_t>(back)) << 32 | static_cast<uint32_t>(stack);
  const auto [found, is_new] = stack_ids_.try_emplace(key, static_cast<int32_t>(stacks_.size()));
  if (is_new) stacks_.push_back({back, stack, stacks_[static_cast<size_t>(stack)].depth + 1});
  return found->second;
}

// Unless it is there. Lists are short, mostly of one or two.
void StateSpace::add(std::vector<Config>& list, Config config) {
  constexpr size_t kLong = 32;
  const auto key = [](const Config& c) {
    return static_cast<uint64_t>(static_cast<uint32_t>(c.state)) << 33 |
           static_cast<uint64_t>(static_cast<uint32_t>(c.stack)) << 1 |
           (c.is_possible_only ? 1u : 0u);
  };
  if (list.size() < kLong) {
    if (std::find(list.begin(), list.end(), config) != list.end()) return;
  } else {
    if (list.size() == kLong) {
      seen_.clear();
      for (const Config& other : list) seen_.insert(key(other));
    }
    if (!seen_.insert(key(config)).second) return;
  }
  list.push_back(config);
}

void StateSpace::leave(const Config& config, State& made, std::vector<Config>& list) {
  if (config.stack == kBottom) {
    if (!config.is_possible_only) made.is_complete = true;
    return;
  }
  if (config.stack > grammar_->n_rules()) {
    const Stack& top = stacks_[static_cast<size_t>(config.stack)];
    add(list, {config.is_possible_only, top.back, top.below});
    return;
  }
  const auto& backs = grammar_->backs(config.stack - 1);
  made.is_anything = made.is_anything || backs.size() > kMostPossible;
  if (made.is_anything) return;
  for (const int32_t back : backs) {
    add(list, {true, back, 1 + grammar_->state(back).rule});
  }
}

int32_t StateSpace::close(std::vector<Config> kernel) {
  std::vector<Config> list;
  for (const Config& config : kernel) add(list, config);
  State made;
  for (const Config& config : list) {
    (config.is_possible_only ? made.is_possible : made.is_certain) = true;
  }
  std::vector<Config> active;
  size_t n_possible = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const Config config = list[i];
    const Grammar::State& state = grammar_->state(config.state);
    if (state.edges_begin != state.edges_end) {
      active.push_back(config);
      if (config.is_possible_only && ++n_possible > kMostPossible) made.is_anything = true;
    }
    if (made.is_anything && config.is_possible_only) continue;
    for (const Grammar::Call& call : grammar_->calls(state)) {
      int32_t stack = config.stack;
      if (!call.is_tail) {
        if (stacks_[static_cast<size_t>(stack)].depth >=
            static_cast<int32_t>(GrammarLimits::kStackDepth)) {
          continue;
        }
        stack = push(call.back, stack);
      }
      add(list, {config.is_possible_only, grammar_->start(call.rule), stack});
    }
    if (state.is_final) leave(config, made, list);
    if (list.size() <= kMostConfigs) continue;
    // What is only possible is let go, what is certain is not.
    const bool let_go =
        !made.is_anything &&
        std::any_of(list.begin(), list.end(), [](const Config& c) { return c.is_possible_only; });
    if (!let_go && (!made.is_anything || list.size() > 2 * kMostConfigs)) spend(budget_ + 1);
    made.is_anything = true;
  }
  spend(static_cast<int64_t>(list.size()));
  if (made.is_anything) {
    std::erase_if(active, [](const Config& config) { return config.is_possible_only; });
  }
  std::sort(active.begin(), active.end());
  return intern(made, active);
}

uint64_t StateSpace::hash_of(const State& made, std::span<const Config> active) const {
  uint64_t hash = (made.is_complete ? 1u : 0u) | (made.is_certain ? 2u : 0u) |
                  (made.is_possible ? 4u : 0u) | (made.is_anything ? 8u : 0u);
  for (const Config& config : active) {
    const auto bits = static_cast<uint64_t>(static_cast<uint32_t>(config.state)) << 32 |
                      static_cast<uint32_t>(config.stack);
    hash = (hash ^ bits ^ (config.is_possible_only ? 0x5555u : 0u)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 31;
  }
  return hash;
}

int32_t StateSpace::intern(State made, const std::vector<Config>& active) {
  const uint64_t hash = hash_of(made, active);
  const auto [begin, end] = state_ids_.equal_range(hash);
  for (auto found = begin; found != end; ++found) {
    const State& other = at(found->second);
    if (other.is_complete == made.is_complete && other.is_certain == made.is_certain &&
        other.is_possible == made.is_possible && other.is_anything == made.is_anything &&
        std::ranges::equal(configs(other), active)) {
      return found->second;
    }
  }
  if (bytes() > size_t{64} << 20) spend(budget_ + 1);
  made.begin = static_cast<uint32_t>(configs_.size());
  configs_.insert(configs_.end(), active.begin(), active.end());
  made.end = static_cast<uint32_t>(configs_.size());
  const auto id = static_cast<int32_t>(states_.size());
  states_.push_back(made);
  steps_.resize(steps_.size() + n_classes_, kUnknown);
  state_ids_.emplace(hash, id);
  return id;
}

int32_t StateSpace::initial() {
  if (initial_ == kUnknown) {
    initial_ = close({{false, grammar_->start(grammar_->root()), kBottom}});
  }
  return initial_;
}

int32_t StateSpace::local(int32_t automaton_state) {
  // What it leads to without a byte is looked at by others.
  State made;
  made.is_certain = true;
  return intern(made, {{false, automaton_state, 1 + grammar_->state(automaton_state).rule}});
}

int32_t StateSpace::find_step(int32_t id, uint8_t byte_class) {
  const State state = at(id);
  std::vector<Config> kernel;
  size_t n_edges = 0;
  for (const Config& config : configs(state)) {
    const auto edges = grammar_->edges(grammar_->state(config.state));
    n_edges += edges.size();
    for (const Grammar::ByteEdge& edge : edges) {
      if (edge.first_class <= byte_class && byte_class <= edge.last_class) {
        kernel.push_back({config.is_possible_only, edge.target, config.stack});
      }
    }
  }
  spend(static_cast<int64_t>(state.end - state.begin + n_edges / 16));
  int32_t next = kDead;
  if (state.is_anything) {
    std::erase_if(kernel, [](const Config& config) { return config.is_possible_only; });
    next = close(std::move(kernel));
    State made = at(next);
    const std::vector<Config> active(configs(made).begin(), configs(made).end());
    made.is_possible = made.is_anything = true;
    made.canonical = kUnknown;
    next = intern(made, active);
  } else if (!kernel.empty()) {
    next = close(std::move(kernel));
  }
  steps_[static_cast<size_t>(id) * n_classes_ + byte_class] = next;
  return next;
}

std::vector<int32_t> StateSpace::automaton_states(int32_t state) const {
  std::vector<int32_t> out;
  for (const Config& config : configs(at(state))) out.push_back(config.state);
  sort_unique(out);
  return out;
}

int32_t StateSpace::depth(int32_t state) const {
  int32_t most = 0;
  for (const Config& config : configs(at(state))) {
    most = std::max(most, stacks_[static_cast<size_t>(config.stack)].depth);
  }
  return most;
}

int32_t StateSpace::canonical(int32_t id) {
  if (at(id).canonical != kUnknown) return at(id).canonical;
  const State state = at(id);
  std::vector<Config> active(configs(state).begin(), configs(state).end());
  bool changed = false;
  for (Config& config : active) {
    const int32_t like = grammar_->state(config.state).like;
    changed = changed || like != config.state;
    config.state = like;
    // The returns likewise, from the bottom up.
    std::vector<int32_t> backs;
    int32_t stack = config.stack;
    for (; stack > grammar_->n_rules(); stack = stacks_[static_cast<size_t>(stack)].below) {
      backs.push_back(stacks_[static_cast<size_t>(stack)].back);
    }
    for (size_t i = backs.size(); i-- > 0;) {
      const int32_t back = grammar_->state(backs[i]).like;
      changed = changed || back != backs[i];
      stack = push(back, stack);
    }
    config.stack = stack;
  }
  int32_t found = id;
  if (changed) {
    sort_unique(active);
    State made = state;
    made.canonical = kUnknown;
    found = intern(made, active);
  }
  states_[static_cast<size_t>(found)].canonical = found;
  states_[static_cast<size_t>(id)].canonical = found;
  return found;
}

std::vector<int32_t> StateSpace::save(int32_t id) const {
  const State& state = at(id);
  std::vector<int32_t> out = {state.is_complete ? 1 : 0};
  for (const Config& config : configs(state)) {
    const size_t count = out.size() + 1;
    out.push_back(config.state);
    out.push_back(0);
    for (int32_t s = config.stack; s != kBottom; s = stacks_[static_cast<size_t>(s)].below) {
      out.push_back(stacks_[static_cast<size_t>(s)].back);
      ++out[count];
    }
  }
  return out;
}

int32_t StateSpace::restore(std::span<const int32_t> saved) {
  State made;
  made.is_complete = saved[0] != 0;
  made.is_certain = true;
  std::vector<Config> active;
  for (size_t i = 1; i < saved.size();) {
    const auto depth = static_cast<size_t>(saved[i + 1]);
    int32_t stack = kBottom;
    for (size_t d = depth; d-- > 0;) stack = push(saved[i + 2 + d], stack);
    active.push_back({false, saved[i], stack});
    i += 2 + depth;
  }
  std::sort(active.begin(), active.end());
  return intern(made, active);
}

bool Grammar::matches(std::string_view text) const {
  StateSpace space(std::shared_ptr<const Grammar>(std::shared_ptr<const Grammar>(), this));
  int32_t state = space.initial();
  for (const char byte : text) {
    space.set_budget(int64_t{1} << 20);
    state = space.step(state, static_cast<uint8_t>(byte));
    if (state == StateSpace::kDead) return false;
  }
  return space.is_complete(state);
}

}  // namespace tq
