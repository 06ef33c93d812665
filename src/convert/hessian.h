// Hessians: what products saw of their inputs while a model ran over a text, so that a matrix is
// rounded where it does least harm to its outputs. Interface of who has them; ldlq.h uses them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/checkpoint.h"

namespace tq {

// The sum of x x^T over the inputs x of a matrix: by it an error e of a row of weights costs e H
// e^T of its outputs, squared and summed.
struct Hessian {
  int64_t in = 0;
  int64_t n_inputs = 0;
  std::vector<float> values;  // [in, in]; of it the lower triangle is filled
};

// Rows [row_begin, row_end) of a tensor, over all experts.
struct HessianPart {
  int64_t row_begin = 0;
  int64_t row_end = 0;
  std::shared_ptr<const Hessian> hessian;  // null where none is known
};

// Used by one thread.
class HessianSource {
 public:
  virtual ~HessianSource() = default;
  // The names of the tensors whose parts() will be asked for, in that order: not all need fit in
  // memory at a time.
  virtual void announce(std::vector<std::string> tensors) = 0;
  // All rows of a tensor, in order. Forgets them.
  virtual std::vector<HessianPart> parts(const TensorEntry& tensor) = 0;
  // What they are made of, for the record, and to tell whether a conversion can be resumed.
  virtual Json describe() const = 0;
};

}  // namespace tq
