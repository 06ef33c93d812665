// What is behind the handles of the C interface.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "capi/status.h"
#include "embed/llm.h"

struct tq_model {
  std::shared_ptr<tq::Llm> llm;  // calls under way keep it
};

struct tq_stop {
  std::atomic<bool> thrown = false;
};

namespace tq::capi {

// The option's names and values as OptionReader takes texts. Throws kInvalidArgument.
Json read_texts(const tq_option* options, size_t n_options);

// Kept by the call, whatever closes the model meanwhile.
inline std::shared_ptr<Llm> llm_of(const tq_model* model) {
  require(model, "model");
  return model->llm;
}

// Asks the switch; none: never.
inline std::function<bool()> stops_by(const tq_stop* stop) {
  if (stop == nullptr) return {};
  return [stop] { return stop->thrown.load(); };
}

}  // namespace tq::capi
