#include "grammar/matcher.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bits.h"
#include "base/sort_unique.h"

namespace tq {
namespace {

constexpr int64_t kBudget = 4'000'000;                // configurations looked at for one token
constexpr size_t kMostRemembered = size_t{16} << 20;  // of tokens, and of states
// From so many calls within calls on, whether a token fits on the stack is asked of the stack
// itself.
constexpr int32_t kDeep = 64;
constexpr size_t kMostListed = 2048;  // longer lists are bits

}  // namespace

TokenGrammar::TokenGrammar(GrammarPtr grammar, std::shared_ptr<const Vocabulary> vocabulary)
    : grammar_(std::move(grammar)), vocabulary_(std::move(vocabulary)), space_(grammar_) {
  space_.set_budget(kBudget);
  space_.initial();  // throws for a grammar that cannot begin
}

TokenGrammar::Position TokenGrammar::begin() {
  const std::lock_guard lock(mutex_);
  space_.set_budget(kBudget);
  Position position;
  position.state = space_.initial();
  position.era = era_;
  position.saved = space_.save(position.state);
  return position;
}

void TokenGrammar::settle(Position& position) {
  if (bytes_ > kMostRemembered || space_.bytes() > kMostRemembered) {
    space_.clear();
    masks_.clear();
    locals_.clear();
    bytes_ = 0;
    ++era_;
  }
  space_.set_budget(kBudget);
  if (position.era == era_) return;
  position.state = space_.restore(position.saved);
  position.era = era_;
}

bool TokenGrammar::advance(Position& position, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  settle(position);
  int32_t state = position.state;
  for (const char byte : bytes) {
    state = space_.step(state, static_cast<uint8_t>(byte));
    if (state == StateSpace::kDead) return false;
  }
  if (state == position.state) return true;
  position.state = state;
  position.saved = space_.save(state);
  return true;
}

TokenGrammar::TokenSet TokenGrammar::packed(std::vector<int32_t> ids) {
  TokenSet set;
  if (ids.size() <= kMostListed) {
    set.ids = std::move(ids);
    set.ids.shrink_to_fit();
    return set;
  }
  set.bits.resize(vocabulary_->n_words());
  for (const int32_t id : ids) set_bit(set.bits, id);
  return set;
}

size_t TokenGrammar::bytes_of(const TokenSet& set) const {
  return 128 + (set.ids.capacity() + set.bits.capacity()) * sizeof(int32_t);
}

void TokenGrammar::walk(int32_t state, std::vector<int32_t>& certain,
                        std::vector<int32_t>& possible) {
  const std::vector<Vocabulary::Node>& nodes = vocabulary_->nodes();
  std::array<int32_t, Vocabulary::kMostBytes + 1> states;
  states[0] = state;
  constexpr int kNodesOfConfig = 16;  // as long as one takes, about
  int n_seen = 0;
  for (size_t i = 0; i < nodes.size();) {
    if (++n_seen % (64 * kNodesOfConfig) == 0) space_.spend(64);
    const Vocabulary::Node& node = nodes[i];
    const int32_t next = space_.step(states[node.depth], node.byte);
    if (next == StateSpace::kDead) {
      i = node.end;
      continue;
    }
    states[node.depth + 1u] = next;
    ++i;
    if (node.n_tokens == 0) continue;
    const bool is_certain = space_.is_certain(next);
    if (!is_certain && !space_.is_possible(next)) continue;
    for (int32_t place = node.tokens_begin; place < node.tokens_begin + node.n_tokens; ++place) {
      if (is_certain) {
        certain.push_back(vocabulary_->id_at(place));
      } else {
        possible.push_back(place);
      }
    }
  }
}

const TokenGrammar::Local& TokenGrammar::local(int32_t automaton_state) {
  const auto found = locals_.find(automaton_state);
  if (found != locals_.end()) return found->second;
  Local made;
  std::vector<int32_t> certain;
  walk(space_.local(automaton_state), certain, made.possible);
  made.certain = packed(std::move(certain));
  made.possible.shrink_to_fit();
  bytes_ += bytes_of(made.certain) + made.possible.capacity() * sizeof(int32_t);
  return locals_.emplace(automaton_state, std::move(made)).first->second;
}

template <typename Found>
void TokenGrammar::try_places(int32_t state, const std::vector<int32_t>& places,
                              const Found& found) {
  std::array<int32_t, Vocabulary::kMostBytes + 1> states;
  states[0] = state;
  std::string_view before;
  size_t n_done = 0;  // bytes of `before` that were allowed
  for (const int32_t place : places) {
    const std::string_view bytes = vocabulary_->bytes_at(place);
    const auto differ = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    const auto common = static_cast<size_t>(differ.first - before.begin());
    before = bytes;
    if (common > n_done) continue;  // where that was refused, this is
    n_done = common;
    while (n_done < bytes.size()) {
      const int32_t next = space_.step(states[n_done], static_cast<uint8_t>(bytes[n_done]));
      if (next == StateSpace::kDead) break;
      states[++n_done] = next;
    }
    if (n_done == bytes.size()) found(place);
  }
}

const TokenGrammar::TokenSet& TokenGrammar::tokens(int32_t state) {
  const auto remembered = masks_.find(state);
  if (remembered != masks_.end()) return remembered->second;
  std::vector<uint32_t> bits;
  std::vector<int32_t> ids;
  std::vector<int32_t> possible;
  // What is certain may be more than fits onto a deep stack.
  const bool is_deep = space_.depth(state) > kDeep;
  if (is_deep) walk(state, ids, possible);
  for (const int32_t automaton_state : space_.automaton_states(state)) {
    if (is_deep) break;
    const Local& part = local(automaton_state);
    if (!part.certain.bits.empty()) {
      bits.resize(vocabulary_->n_words());
      for (size_t w = 0; w < bits.size(); ++w) bits[w] |= part.certain.bits[w];
    }
    ids.insert(ids.end(), part.certain.ids.begin(), part.certain.ids.end());
    possible.insert(possible.end(), part.possible.begin(), part.possible.end());
  }
  sort_unique(possible);
  try_places(state, possible, [&](int32_t place) { ids.push_back(vocabulary_->id_at(place)); });
  TokenSet set;
  if (bits.empty()) {
    set = packed(std::move(ids));
  } else {
    for (const int32_t id : ids) set_bit(bits, id);
    set.bits = std::move(bits);
  }
  bytes_ += bytes_of(set);
  return masks_.emplace(state, std::move(set)).first->second;
}

void TokenGrammar::fill(Position& position, std::span<uint32_t> bits) {
  const std::lock_guard lock(mutex_);
  settle(position);
  std::fill(bits.begin(), bits.end(), 0u);
  const int32_t canonical = space_.canonical(position.state);
  const TokenSet& set = tokens(canonical);
  std::copy_n(set.bits.begin(), std::min(set.bits.size(), bits.size()), bits.begin());
  for (const int32_t id : set.ids) set_bit(bits, id);
  if (canonical == position.state) return;
  // The two are alike for short tokens only.
  for (const int32_t place : vocabulary_->long_places()) {
    set_bit(bits, vocabulary_->id_at(place), false);
  }
  try_places(position.state, vocabulary_->long_places(),
             [&](int32_t place) { set_bit(bits, vocabulary_->id_at(place)); });
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<TokenGrammar> grammar)
    : grammar_(std::move(grammar)), position_(grammar_->begin()) {
  note();
}

void GrammarMatcher::note() {
  is_complete_ = position_.saved[0] != 0;
  can_go_on_ = position_.saved.size() > 1;
}

void GrammarMatcher::fill_mask(std::span<uint32_t> bits) { grammar_->fill(position_, bits); }

bool GrammarMatcher::accept(int32_t token) {
  const std::string_view bytes = grammar_->vocabulary().bytes_of(token);
  return !bytes.empty() && accept_text(bytes);
}

bool GrammarMatcher::accept_text(std::string_view bytes) {
  if (!grammar_->advance(position_, bytes)) return false;
  note();
  return true;
}

}  // namespace tq
