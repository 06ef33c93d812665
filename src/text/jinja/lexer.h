// Tokens of a template. Text outside of tags is one kText token with whitespace control already
// applied.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tq::jinja {

enum class TokenKind {
  kText,
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kBlockBegin,   // {%
  kBlockEnd,     // %}
  kName,
  kString,   // text is the unescaped value
  kInteger,  // text has no underscores
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;
  int line;
};

// The whole template as tokens, ending with kEnd. Throws kCorrupt "line N: ...".
std::vector<Token> tokenize(std::string_view source);

}  // namespace tq::jinja
