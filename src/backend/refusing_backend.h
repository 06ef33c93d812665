// RefusingBackend: the base of stand-ins for a backend that only take weights or count memory.
// Asked to run an operator, it throws kInternal.
#pragma once

#include "backend/backend.h"
#include "base/error.h"

namespace tq {

class RefusingBackend : public Backend {
 public:
  std::string description() const override { return std::string(name()); }
  size_t activation_bytes(int64_t, int64_t, int, InputForm) const override { return 0; }
  Activation prepare(const PrepareArgs&) override { refuse(); }
#define TQ_REFUSE(name, Args) \
  void name(const Args&) override { refuse(); }
  TQ_ELEMENTARY_OPERATORS(TQ_REFUSE)
#undef TQ_REFUSE

 protected:
  [[noreturn]] void refuse() const {
    fail(ErrorCode::kInternal, "the {} backend was asked to compute", name());
  }
};

}  // namespace tq
