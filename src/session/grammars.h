// Grammars of answers, for one tokenizer: what a request asks for becomes a Constraint. Grammars
// that were asked for are remembered with what is known about their tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/constraint.h"
#include "grammar/matcher.h"
#include "session/answer_constraint.h"
#include "text/reasoning_parser.h"
#include "text/tokenizer.h"

namespace tq {

// A grammar that is compiled when it is needed.
struct GrammarSource {
  std::string key;  // the same for the same language
  std::function<GrammarPtr()> compile;
};
GrammarSource json_object_source();
GrammarSource json_schema_source(Json schema);
GrammarSource regex_source(std::string pattern);
GrammarSource choice_source(std::vector<std::string> texts);
GrammarSource gbnf_source(std::string text);

// What a user asks for; files or texts.
struct GrammarOptions {
  std::string grammar;
  std::string json_schema;
  std::string regex;

  // Nothing when none is given. Throws kInvalidArgument for two, and for a file that cannot be
  // read.
  std::optional<GrammarSource> source() const;
};

// Thread safe.
class Grammars {
 public:
  // excluded: ids that no answer may hold (LoadedModel::not_text).
  Grammars(std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> excluded);

  // Compiled, or remembered. The first call takes a moment more, for the vocabulary. Throws what
  // compiling throws.
  std::shared_ptr<TokenGrammar> get(const GrammarSource& source);

  // One answer's. Where the model reasons before it answers, the grammar begins after that: with
  // the parser of the prompt (absent: all is answer), an answer that begins inside its reasoning
  // may hold any tokens until the closing tag, and where the opening tag may come, its token may
  // come instead of what the grammar begins with.
  std::shared_ptr<Constraint> constrain(std::shared_ptr<TokenGrammar> grammar,
                                        const std::optional<ReasoningParser>& parser);

 private:
  static constexpr size_t kMostRemembered = 32;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int32_t> excluded_;
  std::mutex mutex_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  CrossingTokens crossing_;  // of the model's closing tag, as there is one
  std::list<std::pair<std::string, std::shared_ptr<TokenGrammar>>> remembered_;  // the last first
};

}  // namespace tq
