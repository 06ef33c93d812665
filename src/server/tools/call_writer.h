// CallWriter: the parts of which formats of tool calls make grammars, for answers that must be
// calls.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "grammar/builder.h"
#include "text/tokenizer.h"

namespace tq {

// A tool that may be called.
struct ForcedTool {
  std::string name;
  Json parameters;  // the schema of its arguments
};

class CallWriter {
 public:
  // Of a schema's arguments.
  struct Member {
    std::string key;
    Json schema;  // with the definitions that it may refer to
    bool required;
  };

  CallWriter(GrammarBuilder& builder, const Tokenizer& tokenizer)
      : builder_(builder), tokenizer_(tokenizer) {}

  GrammarBuilder& builder() { return builder_; }
  GrammarExpr text(std::string_view text) { return builder_.text(text); }
  GrammarExpr sequence(std::vector<GrammarExpr> parts) {
    return builder_.sequence(std::move(parts));
  }
  // The special token that is written so, or the text where it is none.
  GrammarExpr tag(std::string_view text);
  bool has_token(std::string_view text) const { return tokenizer_.token_id(text).has_value(); }
  GrammarExpr json(const Json& schema) { return add_json_schema(builder_, schema); }
  // Any text without `end`, whose first letter comes but once in it.
  GrammarExpr text_without(std::string_view end);
  // One or more.
  GrammarExpr row(GrammarExpr one, std::string_view separator);
  // A value as argument_value() reads it, before `end`.
  GrammarExpr bare_value(const Json& schema, std::string_view end);

  static std::vector<Member> members_of(const Json& parameters);

 private:
  GrammarBuilder& builder_;
  const Tokenizer& tokenizer_;
};

}  // namespace tq
