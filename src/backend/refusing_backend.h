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
  void embed(const EmbedArgs&) override { refuse(); }
  void matmul(const MatmulArgs&) override { refuse(); }
  void matmul_experts(const ExpertMatmulArgs&) override { refuse(); }
  void matmul_heads(const HeadMatmulArgs&) override { refuse(); }
  void route(const RouteArgs&) override { refuse(); }
  void combine(const CombineArgs&) override { refuse(); }
  void rms_norm(const RmsNormArgs&) override { refuse(); }
  void rope_table(const RopeTableArgs&) override { refuse(); }
  void rope(const RopeArgs&) override { refuse(); }
  void kv_store(const KvStoreArgs&) override { refuse(); }
  void attention(const AttentionArgs&) override { refuse(); }
  void glu(const GluArgs&) override { refuse(); }
  void add(const AddArgs&) override { refuse(); }
  void softcap(const SoftcapArgs&) override { refuse(); }
  void gather_rows(const GatherRowsArgs&) override { refuse(); }

 protected:
  [[noreturn]] void refuse() const {
    fail(ErrorCode::kInternal, "the {} backend was asked to compute", name());
  }
};

}  // namespace tq
