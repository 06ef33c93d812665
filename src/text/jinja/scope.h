// Variables and guards of a running template; for the interpreter's own files.
#pragma once

#include "base/error.h"
#include "text/jinja/interpreter.h"

namespace tq::jinja {

// Variables of one block; macros look names up from where they were defined.
struct Interpreter::Scope {
  explicit Scope(std::shared_ptr<Scope> outer) : parent(std::move(outer)) {}

  Value& operator[](const std::string& name) {
    const auto found = variables.find(name);
    if (found != variables.end()) return found->second;
    lease.grow(name.size() + 160);
    return variables[name];
  }

  Lease lease = Lease(160);
  std::unordered_map<std::string, Value> variables;
  std::shared_ptr<Scope> parent;
};

// One level of nested evaluation.
struct Interpreter::Depth {
  explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) {
    charge_steps(1);
    if (interpreter_.depth_ >= interpreter_.max_depth_) {
      fail(ErrorCode::kUnsupported, "chat template: nested deeper than {}",
           interpreter_.max_depth_);
    }
    ++interpreter_.depth_;
  }
  ~Depth() { --interpreter_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  Interpreter& interpreter_;
};

}  // namespace tq::jinja
