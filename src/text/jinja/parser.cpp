#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

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

StmtPtr make(StmtKind kind, int line) {
  auto stmt = std::make_unique<Stmt>();
  stmt->kind = kind;
  stmt->line = line;
  return stmt;
}

// Recursive descent; the grammar and its precedences are those of Jinja 3.
class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Block run() {
    Block block = body({});
    if (current().kind != TokenKind::kEnd) error("unexpected end tag");
    return block;
  }

 private:
  // Guards recursion: hostile templates must not exhaust the stack.
  struct Nested {
    explicit Nested(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.error("nested too deeply");
    }
    ~Nested() { --parser_.depth_; }
    Parser& parser_;
  };

  const Token& current() const { return tokens_[pos_]; }
  const Token& peek() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  Token next() { return tokens_[pos_ + 1 < tokens_.size() ? pos_++ : pos_]; }
  int line() const { return current().line; }
  [[noreturn]] void error(const std::string& message) const {
    fail(ErrorCode::kCorrupt, "chat template: line {}: {}", current().line, message);
  }
  bool is_op(std::string_view op) const {
    return current().kind == TokenKind::kOperator && current().text == op;
  }
  bool is_name(std::string_view name) const {
    return current().kind == TokenKind::kName && current().text == name;
  }
  bool take_op(std::string_view op) {
    if (!is_op(op)) return false;
    ++pos_;
    return true;
  }
  bool take_name(std::string_view name) {
    if (!is_name(name)) return false;
    ++pos_;
    return true;
  }
  void expect_op(std::string_view op) {
    if (!take_op(op)) error(fmt::format("expected '{}', found '{}'", op, current().text));
  }
  std::string expect_name() {
    if (current().kind != TokenKind::kName) {
      error(fmt::format("expected a name, found '{}'", current().text));
    }
    return next().text;
  }
  void expect_block_end() {
    if (current().kind != TokenKind::kBlockEnd) {
      error(fmt::format("expected '%}}', found '{}'", current().text));
    }
    ++pos_;
  }

  // ---- statements

  // Statements up to a block whose name is in `ends` (left current) or the end of the template.
  Block body(const std::vector<std::string_view>& ends) {
    const Nested nested(*this);
    Block block;
    while (true) {
      chain_ = 0;
      const Token& token = current();
      if (token.kind == TokenKind::kEnd) {
        if (!ends.empty()) error(fmt::format("missing {{% {} %}}", ends.back()));
        return block;
      }
      if (token.kind == TokenKind::kText) {
        StmtPtr stmt = make(StmtKind::kText, token.line);
        stmt->text = next().text;
        block.push_back(std::move(stmt));
      } else if (token.kind == TokenKind::kOutputBegin) {
        ++pos_;
        StmtPtr stmt = make(StmtKind::kOutput, line());
        stmt->expr = tuple_expression();
        if (current().kind != TokenKind::kOutputEnd) {
          error(fmt::format("expected '}}}}', found '{}'", current().text));
        }
        ++pos_;
        block.push_back(std::move(stmt));
      } else {
        if (std::find(ends.begin(), ends.end(), peek().text) != ends.end()) return block;
        ++pos_;
        block.push_back(statement());
      }
    }
  }

  // Skips "{% name" of an end tag that body() stopped at.
  std::string take_end() {
    ++pos_;
    return next().text;
  }

  StmtPtr statement() {
    const int at = line();
    const std::string name = expect_name();
    if (name == "if") return if_statement(at);
    if (name == "for") return for_statement(at);
    if (name == "set") return set_statement(at);
    if (name == "macro") return macro_statement(at);
    if (name == "call") return call_statement(at);
    if (name == "filter") return filter_statement(at);
    if (name == "with") return with_statement(at);
    if (name == "generation") {
      StmtPtr stmt = make(StmtKind::kBlock, at);
      expect_block_end();
      stmt->body = closed_body("endgeneration");
      return stmt;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) error(fmt::format("'{}' outside of a loop", name));
      expect_block_end();
      return make(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, at);
    }
    static const std::vector<std::string_view> kKnown = {
        "include", "import", "from", "extends", "block", "do", "trans", "autoescape"};
    if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) {
      fail(ErrorCode::kUnsupported, "chat template: line {}: statement '{}' is not supported", at,
           name);
    }
    error(fmt::format("unknown statement '{}'", name));
  }

  Block closed_body(std::string_view end) {
    Block block = body({end});
    take_end();
    expect_block_end();
    return block;
  }

  StmtPtr if_statement(int at) {
    StmtPtr stmt = make(StmtKind::kIf, at);
    stmt->expr = tuple_expression(/*conditional=*/false);
    expect_block_end();
    stmt->body = body({"elif", "else", "endif"});
    const Nested nested(*this);  // a chain of elif is a chain of nodes
    const int next_line = line();
    const std::string end = take_end();
    if (end == "elif") {
      stmt->other.push_back(if_statement(next_line));
      return stmt;
    }
    expect_block_end();
    if (end == "else") stmt->other = closed_body("endif");
    return stmt;
  }

  StmtPtr for_statement(int at) {
    StmtPtr stmt = make(StmtKind::kFor, at);
    targets(*stmt);
    if (!take_name("in")) error("expected 'in'");
    stmt->expr = tuple_expression(/*conditional=*/false);
    if (take_name("if")) stmt->filter = expression();
    if (is_name("recursive")) {
      fail(ErrorCode::kUnsupported, "chat template: line {}: recursive loops are not supported",
           at);
    }
    expect_block_end();
    ++loops_;
    stmt->body = body({"else", "endfor"});
    --loops_;
    const std::string end = take_end();
    expect_block_end();
    if (end == "else") stmt->other = closed_body("endfor");
    return stmt;
  }

  // name [, name ...], optionally in parentheses.
  void targets(Stmt& stmt) {
    const bool parentheses = take_op("(");
    do {
      if (stmt.tuple_target && current().kind != TokenKind::kName) break;  // trailing comma
      stmt.names.push_back(expect_name());
      stmt.tuple_target = stmt.tuple_target || is_op(",");
    } while (take_op(","));
    if (parentheses) expect_op(")");
  }

  StmtPtr set_statement(int at) {
    StmtPtr stmt = make(StmtKind::kSet, at);
    targets(*stmt);
    if (stmt->names.size() == 1 && take_op(".")) stmt->text = expect_name();
    if (take_op("=")) {
      stmt->expr = tuple_expression();
      expect_block_end();
      return stmt;
    }
    if (is_op("|")) stmt->filter = filters(nullptr);
    expect_block_end();
    stmt->body = closed_body("endset");
    return stmt;
  }

  // (name, name=default, ...)
  void parameters(Stmt& stmt) {
    expect_op("(");
    while (!take_op(")")) {
      if (!stmt.names.empty()) expect_op(",");
      if (take_op(")")) return;
      stmt.names.push_back(expect_name());
      if (take_op("=")) {
        stmt.defaults.push_back(expression());
      } else if (!stmt.defaults.empty()) {
        error("parameter without a default after one with a default");
      }
    }
  }

  StmtPtr macro_statement(int at) {
    StmtPtr stmt = make(StmtKind::kMacro, at);
    stmt->text = expect_name();
    parameters(*stmt);
    expect_block_end();
    const int loops = std::exchange(loops_, 0);
    stmt->body = closed_body("endmacro");
    loops_ = loops;
    return stmt;
  }

  StmtPtr call_statement(int at) {
    StmtPtr stmt = make(StmtKind::kCall, at);
    if (is_op("(")) parameters(*stmt);
    stmt->expr = expression();
    if (stmt->expr->kind != ExprKind::kCall) error("expected a call");
    expect_block_end();
    const int loops = std::exchange(loops_, 0);
    stmt->body = closed_body("endcall");
    loops_ = loops;
    return stmt;
  }

  StmtPtr filter_statement(int at) {
    StmtPtr stmt = make(StmtKind::kFilter, at);
    stmt->filter = filters(filter_call(nullptr));
    expect_block_end();
    stmt->body = closed_body("endfilter");
    return stmt;
  }

  StmtPtr with_statement(int at) {
    StmtPtr stmt = make(StmtKind::kWith, at);
    while (current().kind != TokenKind::kBlockEnd) {
      if (!stmt->names.empty()) expect_op(",");
      stmt->names.push_back(expect_name());
      expect_op("=");
      stmt->defaults.push_back(expression());
    }
    expect_block_end();
    stmt->body = closed_body("endwith");
    return stmt;
  }

  // ---- expressions

  // One expression, or a tuple if a comma follows. `conditional`: whether "a if b else c" may stand
  // there.
  ExprPtr tuple_expression(bool conditional = true) {
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

  ExprPtr expression() {
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

  ExprPtr binary(ExprKind kind, std::string name, ExprPtr left, ExprPtr right, int at) {
    ExprPtr expr = make(kind, at);
    expr->name = std::move(name);
    expr->args.push_back(std::move(left));
    expr->args.push_back(std::move(right));
    return expr;
  }

  ExprPtr or_expression() {
    ExprPtr left = and_expression();
    for (int at = line(); take_name("or"); at = line()) {
      left = binary(ExprKind::kOr, "", std::move(left), and_expression(), at);
      chain();
    }
    return left;
  }

  ExprPtr and_expression() {
    ExprPtr left = not_expression();
    for (int at = line(); take_name("and"); at = line()) {
      left = binary(ExprKind::kAnd, "", std::move(left), not_expression(), at);
      chain();
    }
    return left;
  }

  ExprPtr not_expression() {
    const Nested nested(*this);
    const int at = line();
    if (!take_name("not")) return compare_expression();
    ExprPtr expr = make(ExprKind::kNot, at);
    expr->args.push_back(not_expression());
    return expr;
  }

  std::optional<std::string> comparison() {
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

  ExprPtr compare_expression() {
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
  ExprPtr binary_level(size_t level) {
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
  void chain() {
    if (++chain_ > kMaxChain) error("too many operators in one statement");
  }

  ExprPtr unary_expression(bool with_filters) {
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

  ExprPtr constant(Value value, int at) {
    ExprPtr expr = make(ExprKind::kConstant, at);
    expr->value = std::move(value);
    return expr;
  }

  ExprPtr primary() {
    const Token token = current();
    switch (token.kind) {
      case TokenKind::kName:
        ++pos_;
        if (token.text == "true" || token.text == "True") return constant(Value(true), token.line);
        if (token.text == "false" || token.text == "False") {
          return constant(Value(false), token.line);
        }
        if (token.text == "none" || token.text == "None") {
          return constant(Value(nullptr), token.line);
        }
        {
          ExprPtr expr = make(ExprKind::kName, token.line);
          expr->name = token.text;
          return expr;
        }
      case TokenKind::kString: {
        std::string text;
        while (current().kind == TokenKind::kString) text += next().text;
        return constant(Value(std::move(text)), token.line);
      }
      case TokenKind::kInteger: {
        ++pos_;
        int64_t value = 0;
        const char* end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
          error("integer out of range");
        }
        return constant(Value(value), token.line);
      }
      case TokenKind::kFloat:
        ++pos_;
        return constant(Value(std::strtod(token.text.c_str(), nullptr)), token.line);
      default:
        if (is_op("(")) return parenthesised();
        if (is_op("[")) return list_literal();
        if (is_op("{")) return dict_literal();
        error(fmt::format("unexpected '{}'", token.text));
    }
  }

  ExprPtr parenthesised() {
    const Nested nested(*this);
    const int at = line();
    expect_op("(");
    if (take_op(")")) return make(ExprKind::kTuple, at);
    ExprPtr expr = tuple_expression();
    expect_op(")");
    return expr;
  }

  ExprPtr list_literal() {
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

  ExprPtr dict_literal() {
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

  ExprPtr postfix(ExprPtr expr) {
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

  ExprPtr subscript(ExprPtr object) {
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

  void arguments(Expr& expr) {
    const Nested nested(*this);
    expect_op("(");
    bool first = true;
    while (!take_op(")")) {
      if (!first) expect_op(",");
      first = false;
      if (take_op(")")) return;
      if (is_op("*") || is_op("**")) {
        fail(ErrorCode::kUnsupported, "chat template: line {}: argument unpacking is not supported",
             line());
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

  ExprPtr call(ExprPtr function) {
    ExprPtr expr = make(ExprKind::kCall, line());
    expr->args.push_back(std::move(function));
    arguments(*expr);
    return expr;
  }

  // | filters, `is` tests, and calls of their results.
  ExprPtr filters(ExprPtr expr) {
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

  ExprPtr filter_call(ExprPtr input) {
    ExprPtr expr = make(ExprKind::kFilter, line());
    expr->name = expect_name();
    expr->args.push_back(std::move(input));
    if (is_op("(")) arguments(*expr);
    return expr;
  }

  ExprPtr test(ExprPtr subject) {
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

  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int depth_ = 0;
  int loops_ = 0;
  int chain_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(source).run(); }

}  // namespace tq::jinja
