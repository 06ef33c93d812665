#include "model/tensor_lookup.h"

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "model/leftovers.h"

namespace tq {
namespace {

const TensorNames::Place& find_place(const Checkpoint& checkpoint, const TensorNames& names) {
  std::string tried;
  for (const TensorNames::Place& place : names.places) {
    const std::string name = fmt::format("{}{}.weight", place.body, names.embedding);
    if (checkpoint.find(name) != nullptr) return place;
    tried += fmt::format("{}{}", tried.empty() ? "" : ", ", name);
  }
  fail(ErrorCode::kNotFound, "{}: no embedding table (looked for {})", checkpoint.path().string(),
       tried);
}

// Finds every requested tensor and checks its shape.
void resolve(const Checkpoint& checkpoint, std::vector<TensorRequest>& requests) {
  constexpr int kListed = 5;
  std::string missing;
  int n_missing = 0;
  for (TensorRequest& request : requests) {
    request.entry = checkpoint.find(request.name);
    if (request.entry != nullptr) continue;
    if (++n_missing <= kListed) missing += "\n  " + request.name;
  }
  if (n_missing > 0) {
    fail(ErrorCode::kNotFound, "{}: {} tensors the config asks for are missing:{}{}",
         checkpoint.path().string(), n_missing, missing, n_missing > kListed ? "\n  ..." : "");
  }
  for (const TensorRequest& request : requests) {
    if (request.entry->shape == request.shape) continue;
    fail(ErrorCode::kCorrupt, "{}: {} has shape {}, the config asks for {}",
         checkpoint.path().string(), request.name, shape_string(request.entry->shape),
         shape_string(request.shape));
  }
}

// Parts that the config denies and the checkpoint has.
void tell_unannounced(const Checkpoint& checkpoint, const std::vector<TensorRequest>& requests) {
  int64_t n = 0;
  std::string_view example;
  for (const TensorRequest& request : requests) {
    if (request.unannounced && n++ == 0) example = request.name;
  }
  if (n > 0) {
    info("{}: {} tensors are there although the config says otherwise, and are used, such as {}",
         checkpoint.path().string(), n, example);
  }
}

}  // namespace

std::vector<TensorRequest> find_tensors(const Checkpoint& checkpoint, const ModelSpec& spec,
                                        const TensorNames& names, Backend& backend,
                                        DecoderWeights& weights, bool tell) {
  const TensorNames::Place& place = find_place(checkpoint, names);
  std::vector<TensorRequest> requests =
      request_tensors({spec, names, place, checkpoint, backend}, weights);
  resolve(checkpoint, requests);
  check_leftovers({checkpoint, spec, names, place}, requests, tell);
  if (tell) tell_unannounced(checkpoint, requests);
  return requests;
}

}  // namespace tq
