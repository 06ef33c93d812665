#include "model/weights.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "model/materialize.h"
#include "model/tensor_requests.h"

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

bool is_known_leftover(std::string_view name, const TensorNames& names,
                       const TensorNames::Place& place) {
  // Left in some quantised checkpoints beside weights that no longer need them.
  constexpr auto kQuantiserLeftovers =
      std::to_array<std::string_view>({".weight_scale_inv", ".weight_scale", ".input_scale"});
  const auto inside = [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  return std::any_of(names.unused.begin(), names.unused.end(), inside) ||
         std::any_of(kQuantiserLeftovers.begin(), kQuantiserLeftovers.end(),
                     [&](std::string_view end) { return name.ends_with(end); }) ||
         name == fmt::format("{}.weight", place.head);  // a copy of a tied head
}

// A tensor of a decoder layer that the spec has no place for would be mathematics left out; any
// other is only worth a warning.
void check_leftovers(const Checkpoint& checkpoint, const std::vector<TensorRequest>& requests,
                     const TensorNames& names, const TensorNames::Place& place) {
  std::set<std::string_view> used;
  for (const TensorRequest& request : requests) used.insert(request.name);
  const std::string layers = fmt::format("{}layers.", place.body);
  std::string_view example;
  int64_t n_unused = 0;
  for (const TensorEntry& entry : checkpoint.tensors()) {
    if (used.contains(entry.name) || is_known_leftover(entry.name, names, place)) continue;
    if (entry.name.starts_with(layers)) {
      fail(ErrorCode::kUnsupported, "{}: the architecture has no tensor {}",
           checkpoint.path().string(), entry.name);
    }
    if (n_unused++ == 0) example = entry.name;
  }
  if (n_unused > 0) {
    warn("{}: {} tensors are not used by the model, such as {}", checkpoint.path().string(),
         n_unused, example);
  }
}

class TensorLoader {
 public:
  TensorLoader(const Checkpoint& checkpoint, Backend& backend, const LoadOptions& options,
               DecoderWeights& weights)
      : checkpoint_(checkpoint),
        backend_(backend),
        options_(options),
        weights_(weights),
        materializer_(checkpoint, backend, options.encode, options.threads) {}

  void load(const TensorRequest& request) {
    weights_.n_parameters += request.entry->n_elements();
    if (request.vector != nullptr) {
      Buffer& storage =
          own(backend_.allocate(static_cast<size_t>(request.entry->n_elements()) * sizeof(float)));
      materializer_.vector(*request.entry, request.offset, storage.as<float>().data());
      weights_.size_bytes += static_cast<int64_t>(storage.size_bytes());
      *request.vector = storage.as<float>().data();
    } else {
      *request.matrix = load_matrix(*request.entry);
      weights_.size_bytes += request.matrix->size_bytes();
      weights_.matrices.push_back(*request.matrix);
    }
  }

 private:
  Buffer& own(Buffer buffer) {
    weights_.owned.push_back(std::move(buffer));
    return weights_.owned.back();
  }

  WeightView load_matrix(const TensorEntry& entry) {
    const std::string wanted = options_.format_for ? options_.format_for(entry) : "";
    const std::optional<WeightView> view = checkpoint_.view(entry);
    if (view && (wanted.empty() || view->traits().name == wanted)) return *view;
    const std::string_view name = wanted.empty() ? kept_format(entry) : wanted;
    const FormatTraits* format = find_format(name);
    if (format == nullptr) {
      fail(ErrorCode::kInvalidArgument, "{}: there is no format \"{}\"", entry.name, name);
    }
    return materializer_.weight(entry, *format, own({}));
  }

  // The plain format that holds a tensor which cannot be read in place.
  static std::string_view kept_format(const TensorEntry& entry) {
    if (entry.dtype == DType::kF32 || entry.dtype == DType::kF64) return "f32";
    return entry.dtype == DType::kBF16 ? "bf16" : "f16";
  }

  const Checkpoint& checkpoint_;
  Backend& backend_;
  const LoadOptions& options_;
  DecoderWeights& weights_;
  Materializer materializer_;
};

}  // namespace

DecoderWeights load_weights(const Checkpoint& checkpoint, const ModelSpec& spec,
                            const TensorNames& names, Backend& backend,
                            const LoadOptions& options) {
  const TensorNames::Place& place = find_place(checkpoint, names);
  DecoderWeights weights;
  std::vector<TensorRequest> requests = request_tensors(spec, names, place, weights);
  resolve(checkpoint, requests);
  check_leftovers(checkpoint, requests, names, place);

  int64_t total_bytes = 0;
  for (const TensorRequest& request : requests) total_bytes += request.entry->stored_bytes;
  int64_t done_bytes = 0;
  TensorLoader loader(checkpoint, backend, options, weights);
  for (const TensorRequest& request : requests) {
    loader.load(request);
    done_bytes += request.entry->stored_bytes;
    if (options.progress) options.progress(done_bytes, total_bytes);
  }
  weights.bytes_per_token = weights.size_bytes;
  if (spec.tied_head) {
    weights.head.weight = weights.embedding;
  } else {
    weights.bytes_per_token -= weights.embedding.size_bytes();
  }
  return weights;
}

}  // namespace tq
