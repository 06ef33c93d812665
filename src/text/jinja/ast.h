// The syntax tree of a template: expressions and statements, made by parse(), walked by the
// interpreter.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace tq::jinja {

enum class ExprKind {
  kConstant,     // value
  kName,         // name
  kAttribute,    // args[0].name
  kSubscript,    // args[0][args[1]]
  kSlice,        // args[0][args[1]:args[2]:args[3]], null where absent
  kCall,         // args[0](args[1...], named)
  kFilter,       // args[0] | name(args[1...], named); args[0] null inside {% filter %}
  kTest,         // args[0] is name(args[1...]); `not` is a kNot around it
  kList,         // [args...]
  kTuple,        // (args...)
  kDict,         // args = key, value, key, value ...
  kNot,          // not args[0]
  kNegate,       // -args[0]
  kPlus,         // +args[0]
  kBinary,       // args[0] name args[1]; name one of + - * / // % ** ~
  kAnd,          // args[0] and args[1]
  kOr,           // args[0] or args[1]
  kCompare,      // args[0] operators[0] args[1] operators[1] args[2] ...
  kUnpack,       // *args[0], of a call's arguments (** is a named one without a name)
  kConditional,  // args[0] if args[1] else args[2] (null: undefined)
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind;
  int line;
  std::string name;
  Value value;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;
  std::vector<std::string> operators;
};

enum class StmtKind {
  kText,    // text
  kOutput,  // expr
  kIf,      // if expr: body, else: other
  kFor,     // for names in expr (if filter): body, else: other
  kSet,     // names = expr, or name.attribute = expr, or a block (expr null: body, filter)
  kMacro,   // macro text(names with defaults): body
  kCall,    // call(names) expr: body
  kFilter,  // filter: body
  kWith,    // with names = defaults: body
  kBlock,   // body (generation blocks)
  kBreak,
  kContinue,
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;

struct Stmt {
  StmtKind kind;
  int line;
  std::string text;                // kText: literal text; kMacro: its name; kSet: attribute or ""
  std::vector<std::string> names;  // targets or parameters
  std::vector<ExprPtr> defaults;   // kMacro, kCall: of the last parameters; kWith: one a name
  ExprPtr expr;
  ExprPtr filter;
  std::vector<StmtPtr> body;
  std::vector<StmtPtr> other;
  bool tuple_target = false;  // kFor, kSet: the value is unpacked into names
  bool uses_varargs = false;  // kMacro, kCall: takes further positional arguments
  bool uses_kwargs = false;   // and further named ones
};

using Block = std::vector<StmtPtr>;

// Parses a template with trim_blocks and lstrip_blocks on, as Hugging Face renders chat templates.
// Throws kCorrupt ("line N: ...") for syntax errors and kUnsupported for statements this
// interpreter lacks.
Block parse(std::string_view source);

}  // namespace tq::jinja
