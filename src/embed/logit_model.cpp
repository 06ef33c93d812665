#include "embed/logit_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/file_faults.h"

namespace tq {

LogitModel::LogitModel(const ModelOptions& options,
                       const std::function<void(int64_t done, int64_t total)>& progress)
    : loaded_(open_model(options, {.logits_of_all = true}, progress)),
      context_(loaded_.model->options().max_context),
      reader_(*loaded_.model, options.kv(), context_) {}

std::vector<float> LogitModel::logits(
    std::span<const int32_t> ids, const std::function<void(int64_t done, int64_t total)>& told) {
  const auto n_ids = static_cast<int64_t>(ids.size());
  if (n_ids == 0 || n_ids > context_) {
    fail(ErrorCode::kInvalidArgument, "{} tokens: logits are computed for 1 to {} (option ctx)",
         n_ids, context_);
  }
  std::vector<float> out;
  out.reserve(static_cast<size_t>(n_ids * vocab()));
  reader_.restart();
  for (int64_t begin = 0; begin < n_ids; begin += reader_.max_chunk()) {
    const int64_t n = std::min(reader_.max_chunk(), n_ids - begin);
    const auto rows =
        reader_.next(ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)), n);
    out.insert(out.end(), rows.begin(), rows.end());
    check_file_faults();
    if (told) told(begin + n, n_ids);
  }
  return out;
}

}  // namespace tq
