#include "session/grammars.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace tq {

GrammarSource json_object_source() {
  return {"json object", [] { return compile_json_object(); }};
}

GrammarSource json_schema_source(Json schema) {
  std::string key = "json schema " + schema.dump();
  return {std::move(key), [schema = std::move(schema)] { return compile_json_schema(schema); }};
}

GrammarSource regex_source(std::string pattern) {
  std::string key = "regex " + pattern;
  return {std::move(key), [pattern = std::move(pattern)] { return compile_regex(pattern); }};
}

GrammarSource choice_source(std::vector<std::string> texts) {
  std::string key = "choice " + Json(texts).dump();
  return {std::move(key), [texts = std::move(texts)] { return compile_choices(texts); }};
}

GrammarSource gbnf_source(std::string text) {
  std::string key = "gbnf " + text;
  return {std::move(key), [text = std::move(text)] { return compile_gbnf(text); }};
}

namespace {

// The file of that name, or the text itself when that says by what it holds that it is none.
std::string file_or_text(const std::string& given, std::string_view mark) {
  return given.find(mark) != std::string::npos ? given : read_text_file(given);
}

}  // namespace

std::optional<GrammarSource> GrammarOptions::source() const {
  std::vector<GrammarSource> given;
  if (!grammar.empty()) given.push_back(gbnf_source(file_or_text(grammar, "::=")));
  if (!json_schema.empty()) {
    const bool is_text = json_schema == "true" || json_schema.find('{') != std::string::npos;
    given.push_back(
        json_schema_source(parse_json(is_text ? json_schema : read_text_file(json_schema),
                                      is_text ? "--json-schema" : json_schema)));
  }
  if (!regex.empty()) given.push_back(regex_source(regex));
  if (given.size() > 1) {
    fail(ErrorCode::kInvalidArgument,
         "an answer follows one of --grammar, --json-schema and --regex");
  }
  if (given.empty()) return std::nullopt;
  return std::move(given[0]);
}

Grammars::Grammars(std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> excluded)
    : tokenizer_(std::move(tokenizer)), excluded_(std::move(excluded)) {}

std::shared_ptr<TokenGrammar> Grammars::get(const GrammarSource& source) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(remembered_.begin(), remembered_.end(),
                                    [&](const auto& entry) { return entry.first == source.key; });
    if (found != remembered_.end()) {
      remembered_.splice(remembered_.begin(), remembered_, found);
      return found->second;
    }
  }
  const GrammarPtr grammar = source.compile();
  const std::lock_guard lock(mutex_);
  if (!vocabulary_) vocabulary_ = std::make_shared<const Vocabulary>(*tokenizer_, excluded_);
  auto made = std::make_shared<TokenGrammar>(grammar, vocabulary_);
  remembered_.emplace_front(source.key, made);
  if (remembered_.size() > kMostRemembered) remembered_.pop_back();
  return made;
}

std::shared_ptr<Constraint> Grammars::constrain(std::shared_ptr<TokenGrammar> grammar,
                                                const std::optional<ReasoningParser>& parser) {
  CrossingTokens crossing;
  if (parser) {
    const std::lock_guard lock(mutex_);
    if (!crossing_) crossing_ = find_crossing(*tokenizer_, parser->tags().close);
    crossing = crossing_;
  }
  return std::make_shared<AnswerConstraint>(std::move(grammar), tokenizer_, parser,
                                            std::move(crossing));
}

}  // namespace tq
