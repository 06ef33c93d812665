// ModelMeter: what loading a model would take of a backend's memory, for many limits: the index of
// the tensors is read once, weights never. One thread uses it.
#pragma once

#include <memory>

#include "model/model.h"

namespace tq {

class ModelMeter {
 public:
  // Throws what Model::load throws but for values that are damaged. The backend must outlive this.
  ModelMeter(const Checkpoint& checkpoint, const Backend& backend, const LoadOptions& options);
  ~ModelMeter();

  const ModelSpec& spec() const;
  // With these two instead of what the options say.
  ModelSize size(int64_t max_context, int64_t max_batch_tokens) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tq
