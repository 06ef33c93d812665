// InputWatcher: a CPU backend that adds up, while a model runs on it, what products with matrices
// see of their inputs (convert/hessian.h). One thread calls it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "backend/forwarding_backend.h"
#include "base/thread_pool.h"
#include "convert/hessian.h"

namespace tq {

// Matrices that read the same rows share a site: q, k and v; gate and up; those of all experts of a
// layer. What experts make of their inputs has a Hessian for each of them.
struct InputSite {
  int64_t in = 0;
  int64_t n = 1;                                   // Hessians
  std::vector<std::shared_ptr<Hessian>> hessians;  // of those that are wanted: [n]; else empty

  int64_t size_bytes() const { return n * in * in * int64_t{sizeof(float)}; }
};

class InputWatcher final : public ForwardingBackend {
 public:
  // `cpu` is borrowed, and computes with fp32 activations.
  InputWatcher(Backend& cpu, int n_threads) : ForwardingBackend(cpu), pool_(n_threads) {}

  // Of a matrix, which products name by its codes: its site and which Hessian there. Null before
  // the first product with it, and for matrices that are not watched.
  struct Place {
    size_t site;
    int64_t index;
  };
  const Place* find(const uint8_t* codes) const;
  std::vector<InputSite>& sites() { return sites_; }

  void matmul(const MatmulArgs& args) override;
  void matmul_shared(std::span<const MatmulArgs> products) override;
  void matmul_gated(const GatedMatmulArgs& args) override;
  void matmul_experts(const ExpertMatmulArgs& args) override;
  void matmul_gated_experts(const GatedExpertsArgs& args) override;

 private:
  struct Rows {  // x + rows[i] * in
    const float* x;
    RowMap rows;
    int64_t n;
  };
  size_t site_of(const uint8_t* codes, int64_t in, int64_t n);
  void join(const uint8_t* codes, Place place) { places_.emplace(codes, place); }
  void watch(const WeightView& weight, const Activation& x);
  void watch_experts(const MatrixStack& stack, const ExpertMatmulArgs& args);
  void add(const Place& place, const Rows& rows);

  ThreadPool pool_;
  std::map<const uint8_t*, Place> places_;
  std::vector<InputSite> sites_;
  std::vector<float> transposed_;  // [in, rows]
};

}  // namespace tq
