#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"

namespace tq::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of nested expressions and blocks together
constexpr int kMaxChain = 500;  // operators in one statement

ExprPtr make(ExprKind kind, int line) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

ExprPtr binary(ExprKind kind, std::string name, ExprPtr left, ExprPtr right, int at) {
  ExprPtr expr = make(kind, at);
  expr->name = std::move(name);
  expr->args.push_back(std::move(left));
  expr->args.push_back(std::move(right));
  return expr;
}

ExprPtr constant(Value value, int at) {
  ExprPtr expr = make(ExprKind::kConstant, at);
  expr->value = std::move(value);
  return expr;
}

}  // namespace

ExpressionParser::Nested::Nested(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.depth_ > kMaxDepth) parser_.error("nested too deeply");
}

void ExpressionParser::error(std::string_view message) const {
  fail(ErrorCode::kCorrupt, "chat template: line {}: {}", current().line, message);
}

void ExpressionParser::error_found(std::string_view expected) const {
  error(fmt::format("expected {}, found '{:.100}'", expected, current().text));
}

bool ExpressionParser::take_op(std::string_view op) {
  if (!is_op(op)) return false;
  ++pos_;
  return true;
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!is_name(name)) return false;
  ++pos_;
  return true;
}

void ExpressionParser::expect_op(std::string_view op) {
  if (!take_op(op)) error_found(fmt::format("'{}'", op));
}

std::string ExpressionParser::expect_name() {
  if (current().kind != TokenKind::kName) error_found("a name");
  return next().text;
}

// One expression, or a tuple if a comma follows. `conditional`: whether "a if b else c" may stand
// there.
ExprPtr ExpressionParser::tuple_expression(bool conditional) {
  const auto item = [&] { return conditional ? expression() : or_expression(); };
  const int at = line();
  ExprPtr first = item();
  if (!is_op(",")) return first;
  ExprPtr tuple = make(ExprKind::kTuple, at);
  tuple->args.push_back(std::move(first));
  while (take_op(",")) {
    const TokenKind kind = current().kind;
    if (kind == TokenKind::kOutputEnd || kind == TokenKind::kBlockEnd || is_op(")")) break;
    tuple->args.push_back(item());
  }
  return tuple;
}

ExprPtr ExpressionParser::expression() {
  const Nested nested(*this);
  ExprPtr value = or_expression();
  while (is_name("if")) {
    const int at = line();
    ++pos_;
    ExprPtr expr = make(ExprKind::kConditional, at);
    expr->args.push_back(std::move(value));
    expr->args.push_back(or_expression());
    expr->args.push_back(take_name("else") ? expression() : nullptr);
    value = std::move(expr);
  }
  return value;
}

ExprPtr ExpressionParser::or_expression() {
  ExprPtr left = and_expression();
  for (int at = line(); take_name("or"); at = line()) {
    left = binary(ExprKind::kOr, "", std::move(left), and_expression(), at);
    chain();
  }
  return left;
}

ExprPtr ExpressionParser::and_expression() {
  ExprPtr left = not_expression();
  for (int at = line(); take_name("and"); at = line()) {
    left = binary(ExprKind::kAnd, "", std::move(left), not_expression(), at);
    chain();
  }
  return left;
}

ExprPtr ExpressionParser::not_expression() {
  const Nested nested(*this);
  const int at = line();
  if (!take_name("not")) return compare_expression();
  ExprPtr expr = make(ExprKind::kNot, at);
  expr->args.push_back(not_expression());
  return expr;
}

std::optional<std::string> ExpressionParser::comparison() {
  for (const char* op : {"==", "!=", "<", ">", "<=", ">="}) {
    if (take_op(op)) return op;
  }
  if (take_name("in")) return "in";
  if (is_name("not") && peek().kind == TokenKind::kName && peek().text == "in") {
    pos_ += 2;
    return "not in";
  }
  return std::nullopt;
}

ExprPtr ExpressionParser::compare_expression() {
  const int at = line();
  ExprPtr left = binary_level(0);
  auto op = comparison();
  if (!op) return left;
  ExprPtr expr = make(ExprKind::kCompare, at);
  expr->args.push_back(std::move(left));
  while (op) {
    expr->operators.push_back(*op);
    expr->args.push_back(binary_level(0));
    op = comparison();
  }
  return expr;
}

// Left-associative levels from loosest to tightest: + -, ~, * / // %, **.
ExprPtr ExpressionParser::binary_level(size_t level) {
  static const std::vector<std::vector<std::string_view>> kLevels = {
      {"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}};
  if (level == kLevels.size()) return unary_expression(true);
  ExprPtr left = binary_level(level + 1);
  while (true) {
    const auto& ops = kLevels[level];
    const bool found = current().kind == TokenKind::kOperator &&
                       std::find(ops.begin(), ops.end(), current().text) != ops.end();
    if (!found) return left;
    const Token op = next();
    left = binary(ExprKind::kBinary, op.text, std::move(left), binary_level(level + 1), op.line);
    chain();
  }
}

// Chains of operators make trees as deep as they are long, on which interpreter and destructors
// recurse.
void ExpressionParser::chain() {
  if (++chain_ > kMaxChain) error("too many operators in one statement");
}

ExprPtr ExpressionParser::unary_expression(bool with_filters) {
  const Nested nested(*this);
  const int at = line();
  ExprPtr expr;
  if (is_op("-") || is_op("+")) {
    expr = make(next().text == "-" ? ExprKind::kNegate : ExprKind::kPlus, at);
    expr->args.push_back(unary_expression(false));
  } else {
    expr = primary();
  }
  expr = postfix(std::move(expr));
  return with_filters ? filters(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::name_or_constant(const Token& token) {
  ++pos_;
  if (token.text == "true" || token.text == "True") return constant(Value(true), token.line);
  if (token.text == "false" || token.text == "False") return constant(Value(false), token.line);
  if (token.text == "none" || token.text == "None") return constant(Value(nullptr), token.line);
  saw_varargs_ = saw_varargs_ || token.text == "varargs";
  saw_kwargs_ = saw_kwargs_ || token.text == "kwargs";
  ExprPtr expr = make(ExprKind::kName, token.line);
  expr->name = token.text;
  return expr;
}

ExprPtr ExpressionParser::integer(const Token& token) {
  ++pos_;
  int64_t value = 0;
  const char* end = token.text.data() + token.text.size();
  if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
    error("integer out of range");
  }
  return constant(Value(value), token.line);
}

ExprPtr ExpressionParser::primary() {
  const Token token = current();
  switch (token.kind) {
    case TokenKind::kName:
      return name_or_constant(token);
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += next().text;
      return constant(Value(std::move(text)), token.line);
    }
    case TokenKind::kInteger:
      return integer(token);
    case TokenKind::kFloat:
      ++pos_;
      return constant(Value(std::strtod(token.text.c_str(), nullptr)), token.line);
    default:
      if (is_op("(")) return parenthesised();
      if (is_op("[")) return list_literal();
      if (is_op("{")) return dict_literal();
      error(fmt::format("unexpected '{:.100}'", token.text));
  }
}

ExprPtr ExpressionParser::parenthesised() {
  const Nested nested(*this);
  const int at = line();
  expect_op("(");
  if (take_op(")")) return make(ExprKind::kTuple, at);
  ExprPtr expr = tuple_expression();
  expect_op(")");
  return expr;
}

ExprPtr ExpressionParser::list_literal() {
  const Nested nested(*this);
  ExprPtr expr = make(ExprKind::kList, line());
  expect_op("[");
  while (!take_op("]")) {
    if (!expr->args.empty()) expect_op(",");
    if (take_op("]")) break;
    expr->args.push_back(expression());
  }
  return expr;
}

ExprPtr ExpressionParser::dict_literal() {
  const Nested nested(*this);
  ExprPtr expr = make(ExprKind::kDict, line());
  expect_op("{");
  while (!take_op("}")) {
    if (!expr->args.empty()) expect_op(",");
    if (take_op("}")) break;
    expr->args.push_back(expression());
    expect_op(":");
    expr->args.push_back(expression());
  }
  return expr;
}

ExprPtr ExpressionParser::postfix(ExprPtr expr) {
  while (true) {
    const int at = line();
    if (take_op(".")) {
      ExprPtr access = make(ExprKind::kAttribute, at);
      if (current().kind == TokenKind::kInteger) {  // x.0
        access->kind = ExprKind::kSubscript;
        access->args.push_back(std::move(expr));
        access->args.push_back(primary());
      } else {
        access->name = expect_name();
        access->args.push_back(std::move(expr));
      }
      expr = std::move(access);
    } else if (is_op("[")) {
      expr = subscript(std::move(expr));
    } else if (is_op("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
    chain();
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr object) {
  const Nested nested(*this);
  ExprPtr expr = make(ExprKind::kSubscript, line());
  expr->args.push_back(std::move(object));
  expect_op("[");
  ExprPtr first = is_op(":") ? nullptr : tuple_expression();
  if (!is_op(":")) {
    expr->args.push_back(std::move(first));
    expect_op("]");
    return expr;
  }
  expr->kind = ExprKind::kSlice;
  expr->args.push_back(std::move(first));
  for (int i = 0; i < 2; ++i) {
    const bool present = take_op(":") && !is_op(":") && !is_op("]");
    expr->args.push_back(present ? expression() : nullptr);
  }
  expect_op("]");
  return expr;
}

void ExpressionParser::arguments(Expr& expr) {
  const Nested nested(*this);
  expect_op("(");
  bool first = true;
  while (!take_op(")")) {
    if (!first) expect_op(",");
    first = false;
    if (take_op(")")) return;
    if (take_op("**")) {
      expr.named.emplace_back("", expression());
      continue;
    }
    if (is_op("*")) {
      ExprPtr unpack = make(ExprKind::kUnpack, line());
      ++pos_;
      unpack->args.push_back(expression());
      expr.args.push_back(std::move(unpack));
      continue;
    }
    if (current().kind == TokenKind::kName && peek().kind == TokenKind::kOperator &&
        peek().text == "=") {
      std::string name = next().text;
      ++pos_;
      expr.named.emplace_back(std::move(name), expression());
    } else {
      if (!expr.named.empty()) error("positional argument after a named one");
      expr.args.push_back(expression());
    }
  }
}

ExprPtr ExpressionParser::call(ExprPtr function) {
  ExprPtr expr = make(ExprKind::kCall, line());
  expr->args.push_back(std::move(function));
  arguments(*expr);
  return expr;
}

// | filters, `is` tests, and calls of their results.
ExprPtr ExpressionParser::filters(ExprPtr expr) {
  while (true) {
    if (take_op("|")) {
      expr = filter_call(std::move(expr));
    } else if (expr != nullptr && is_name("is")) {
      expr = test(std::move(expr));
    } else if (expr != nullptr && is_op("(")) {
      expr = call(std::move(expr));
    } else {
      return expr;
    }
    chain();
  }
}

ExprPtr ExpressionParser::filter_call(ExprPtr input) {
  ExprPtr expr = make(ExprKind::kFilter, line());
  expr->name = expect_name();
  expr->args.push_back(std::move(input));
  if (is_op("(")) arguments(*expr);
  return expr;
}

ExprPtr ExpressionParser::test(ExprPtr subject) {
  const Nested nested(*this);
  const int at = line();
  ++pos_;  // is
  const bool negated = take_name("not");
  ExprPtr expr = make(ExprKind::kTest, at);
  expr->name = expect_name();
  expr->args.push_back(std::move(subject));
  const TokenKind kind = current().kind;
  const bool literal = kind == TokenKind::kString || kind == TokenKind::kInteger ||
                       kind == TokenKind::kFloat || is_op("[") || is_op("{");
  const bool name = kind == TokenKind::kName && !is_name("else") && !is_name("or") &&
                    !is_name("and") && !is_name("is") && !is_name("if") && !is_name("in") &&
                    !is_name("not");
  if (is_op("(")) {
    arguments(*expr);
  } else if (literal || name) {
    expr->args.push_back(postfix(primary()));
  }
  if (!negated) return expr;
  ExprPtr inverse = make(ExprKind::kNot, at);
  inverse->args.push_back(std::move(expr));
  return inverse;
}

}  // namespace tq::jinja
