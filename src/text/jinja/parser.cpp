// The statements of a template; their expressions are read by the base class.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/jinja/expression_parser.h"

namespace tq::jinja {
namespace {

StmtPtr make(StmtKind kind, int line) {
  auto stmt = std::make_unique<Stmt>();
  stmt->kind = kind;
  stmt->line = line;
  return stmt;
}

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::string_view source) : ExpressionParser(source) {}

  Block run() {
    Block block = body({});
    if (current().kind != TokenKind::kEnd) error("unexpected end tag");
    return block;
  }

 private:
  void expect_block_end() {
    if (current().kind != TokenKind::kBlockEnd) error_found("'%}'");
    ++pos_;
  }

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
          error_found("'}}'");
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

  // A body of its own: loops around it are not its loops.
  void macro_body(Stmt& stmt, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const bool outer_varargs = std::exchange(saw_varargs_, false);
    const bool outer_kwargs = std::exchange(saw_kwargs_, false);
    stmt.body = closed_body(end);
    stmt.uses_varargs = std::exchange(saw_varargs_, outer_varargs);
    stmt.uses_kwargs = std::exchange(saw_kwargs_, outer_kwargs);
    loops_ = loops;
  }

  StmtPtr macro_statement(int at) {
    StmtPtr stmt = make(StmtKind::kMacro, at);
    stmt->text = expect_name();
    parameters(*stmt);
    expect_block_end();
    macro_body(*stmt, "endmacro");
    return stmt;
  }

  StmtPtr call_statement(int at) {
    StmtPtr stmt = make(StmtKind::kCall, at);
    if (is_op("(")) parameters(*stmt);
    stmt->expr = expression();
    if (stmt->expr->kind != ExprKind::kCall) error("expected a call");
    expect_block_end();
    macro_body(*stmt, "endcall");
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

  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) { return Parser(source).run(); }

}  // namespace tq::jinja
