// Reads the tokens of expressions into trees by recursive descent; the grammar and its precedences
// are those of Jinja 3. The base of the statements' parser (parser.cpp).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace tq::jinja {

class ExpressionParser {
 protected:
  explicit ExpressionParser(std::string_view source) : tokens_(tokenize(source)) {}

  // Guards recursion: hostile templates must not exhaust the stack.
  struct Nested {
    explicit Nested(ExpressionParser& parser);
    ~Nested() { --parser_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    ExpressionParser& parser_;
  };

  // Tokens.
  const Token& current() const { return tokens_[pos_]; }
  const Token& peek() const { return tokens_[pos_ + 1 < tokens_.size() ? pos_ + 1 : pos_]; }
  Token next() { return tokens_[pos_ + 1 < tokens_.size() ? pos_++ : pos_]; }
  int line() const { return current().line; }
  [[noreturn]] void error(std::string_view message) const;  // kCorrupt "line N: ..."
  [[noreturn]] void error_found(std::string_view expected) const;
  bool is_op(std::string_view op) const {
    return current().kind == TokenKind::kOperator && current().text == op;
  }
  bool is_name(std::string_view name) const {
    return current().kind == TokenKind::kName && current().text == name;
  }
  bool take_op(std::string_view op);
  bool take_name(std::string_view name);
  void expect_op(std::string_view op);
  std::string expect_name();

  // Expressions.
  // One expression, or a tuple if a comma follows. `conditional`: whether "a if b else c" may stand
  // there.
  ExprPtr tuple_expression(bool conditional = true);
  ExprPtr expression();
  // | filters, `is` tests, and calls of their results.
  ExprPtr filters(ExprPtr expr);
  ExprPtr filter_call(ExprPtr input);

  size_t pos_ = 0;
  int chain_ = 0;  // operators in the statement that is being read
  bool saw_varargs_ = false;
  bool saw_kwargs_ = false;

 private:
  ExprPtr or_expression();
  ExprPtr and_expression();
  ExprPtr not_expression();
  std::optional<std::string> comparison();
  ExprPtr compare_expression();
  ExprPtr binary_level(size_t level);
  void chain();
  ExprPtr unary_expression(bool with_filters);
  ExprPtr primary();
  ExprPtr name_or_constant(const Token& token);
  ExprPtr integer(const Token& token);
  ExprPtr parenthesised();
  ExprPtr list_literal();
  ExprPtr dict_literal();
  ExprPtr postfix(ExprPtr expr);
  ExprPtr subscript(ExprPtr object);
  void arguments(Expr& expr);
  ExprPtr call(ExprPtr function);
  ExprPtr test(ExprPtr subject);

  std::vector<Token> tokens_;
  int depth_ = 0;
};

}  // namespace tq::jinja
