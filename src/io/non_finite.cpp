#include "io/non_finite.h"

#include "base/error.h"

namespace tq {

void refuse_non_finite(const TensorEntry& tensor, int64_t element, float value,
                       std::string_view way_out) {
  int64_t row = element / tensor.in();
  std::string expert;
  if (tensor.shape.size() == 3) {
    expert = fmt::format("expert {}, ", row / tensor.shape[1]);
    row %= tensor.shape[1];
  }
  fail(ErrorCode::kCorrupt,
       "tensor {}: weight at {}row {}, column {} is {}: the checkpoint is damaged{}", tensor.name,
       expert, row, element % tensor.in(), value, way_out);
}

}  // namespace tq
