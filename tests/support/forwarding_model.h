// A Model that does what another does: to be overridden in parts.
#pragma once

#include <utility>

#include "model/model.h"

namespace tq::fixtures {

class ForwardingModel : public Model {
 public:
  explicit ForwardingModel(Model& model) : model_(model) {}

  const ModelSpec& spec() const override { return model_.spec(); }
  Backend& backend() const override { return model_.backend(); }
  const LoadOptions& options() const override { return model_.options(); }
  KvLayout kv_layout() const override { return model_.kv_layout(); }
  int64_t weight_bytes() const override { return model_.weight_bytes(); }
  int64_t bytes_per_token() const override { return model_.bytes_per_token(); }
  int64_t n_parameters() const override { return model_.n_parameters(); }
  void set_observer(Observer observer) override { model_.set_observer(std::move(observer)); }
  void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
    model_.forward(batch, kv, logits);
  }

 private:
  Model& model_;
};

}  // namespace tq::fixtures
