// Which tokens a grammar allows next. A TokenGrammar is a grammar over a vocabulary with what has
// been found out so far, shared by all answers of the grammar; a GrammarMatcher is one answer.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/state_space.h"
#include "grammar/vocabulary.h"

namespace tq {

// Thread safe. Takes up to about 32 MiB for what it remembers, and forgets all of it then.
class TokenGrammar {
 public:
  TokenGrammar(GrammarPtr grammar, std::shared_ptr<const Vocabulary> vocabulary);

  const Vocabulary& vocabulary() const { return *vocabulary_; }

 private:
  friend class GrammarMatcher;

  // Tokens, as a list of ids or, if they are many, as bits.
  struct TokenSet {
    std::vector<int32_t> ids;
    std::vector<uint32_t> bits;
  };
  // Of a state of an automaton: tokens that are allowed whatever the callers are, and places of
  // those for which these matter.
  struct Local {
    TokenSet certain;
    std::vector<int32_t> possible;
  };

  // An answer's state: a number of the space for as long as that remembers, and what it stands for.
  struct Position {
    int32_t state = StateSpace::kDead;
    uint64_t era = 0;
    std::vector<int32_t> saved;
  };

  Position begin();
  // Makes the number of the position one of the space as it is now.
  void settle(Position& position);
  bool advance(Position& position, std::string_view bytes);
  void fill(Position& position, std::span<uint32_t> bits);

  // Walks the vocabulary from a state: ids that are certain, places that are possible.
  void walk(int32_t state, std::vector<int32_t>& certain, std::vector<int32_t>& possible);
  const Local& local(int32_t automaton_state);
  const TokenSet& tokens(int32_t canonical_state);
  // Calls found(place) for those of the places (sorted) whose tokens are allowed.
  template <typename Found>
  void try_places(int32_t state, const std::vector<int32_t>& places, const Found& found);
  TokenSet packed(std::vector<int32_t> ids);
  size_t bytes_of(const TokenSet& set) const;

  GrammarPtr grammar_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::mutex mutex_;
  StateSpace space_;
  uint64_t era_ = 1;
  std::unordered_map<int32_t, Local> locals_;    // by states of automatons
  std::unordered_map<int32_t, TokenSet> masks_;  // by states of the space, of which all are whole
  size_t bytes_ = 0;                             // of these
};

// Not thread safe.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<TokenGrammar> grammar);

  // Sets the bits of tokens that may come next, and clears the others: token t is bit t % 32 of
  // bits[t / 32], as many as there are. Throws kInvalidArgument when that would take too much work:
  // the grammar is too ambiguous.
  void fill_mask(std::span<uint32_t> bits);
  // Goes on after a token. False, and nothing changes, when it is not allowed. Throws likewise.
  bool accept(int32_t token);
  // The same for text.
  bool accept_text(std::string_view bytes);
  // Whether what was accepted is one of the language's texts.
  bool is_complete() const { return is_complete_; }
  // Whether anything can follow.
  bool can_go_on() const { return can_go_on_; }

 private:
  void note();

  std::shared_ptr<TokenGrammar> grammar_;
  TokenGrammar::Position position_;
  bool is_complete_ = false;
  bool can_go_on_ = true;
};

}  // namespace tq
