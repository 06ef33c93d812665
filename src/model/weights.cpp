#include "model/weights.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "model/tensor_lookup.h"

namespace tq {
namespace {

// Of rows of n numbers.
std::vector<float> transposed(const std::vector<float>& matrix, size_t n) {
  std::vector<float> columns(matrix.size());
  const size_t rows = matrix.size() / n;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < n; ++c) columns[c * rows + r] = matrix[r * n + c];
  }
  return columns;
}

class TensorLoader {
 public:
  TensorLoader(const Checkpoint& checkpoint, Backend& backend, const LoadOptions& options,
               DecoderWeights& weights, WeightValues values)
      : checkpoint_(checkpoint),
        backend_(backend),
        options_(options),
        weights_(weights),
        values_(values),
        materializer_(checkpoint, options.encode, options.threads, values),
        loading_{backend, materializer_, weights, options.placed} {
    // What a load that failed has left.
    if (WeightEncoder* encoder = backend_.encoder()) encoder->finish();
  }

  void load(const TensorRequest& request) {
    const TensorEntry& entry = *request.entry;
    weights_.n_parameters += entry.n_elements();
    int64_t bytes = entry.n_elements() * int64_t{sizeof(float)};
    if (request.scalar != nullptr) {
      if (values_ == WeightValues::kRead) materializer_.vector(entry, {}, request.scalar);
    } else if (request.vector != nullptr) {
      *request.vector = load_vector(request);
    } else {
      Buffer storage;
      const WeightView view = load_matrix(request, storage);
      loading_.tensor = &entry;
      request.bind({view}, loading_);
      if (loading_.encodes) checkpoint_.drop_rows(entry, 0, entry.n_rows());
      loading_.encodes = false;
      loading_.keep(std::move(storage));
      weights_.add_input(view, request.rows_per_token);
      bytes = view.size_bytes();
    }
    weights_.size_bytes += bytes;
    weights_.bytes_per_token += bytes * request.read_part / request.read_whole;
  }

  void finish() {
    if (WeightEncoder* encoder = backend_.encoder()) materializer_.finish(*encoder);
  }

 private:
  const float* load_vector(const TensorRequest& request) {
    const auto n = static_cast<size_t>(request.entry->n_elements());
    auto* vector = reinterpret_cast<float*>(weights_.own(backend_.allocate(n * sizeof(float))));
    if (values_ == WeightValues::kNone) return vector;
    std::vector<float> values(n);
    materializer_.vector(*request.entry, request.map, values.data());
    if (request.transposed) values = transposed(values, static_cast<size_t>(request.entry->in()));
    backend_.upload(values.data(), vector, n * sizeof(float));
    return vector;
  }

  // The matrix in host memory: mapped, or made in `storage`; or to be encoded as it is placed.
  WeightView load_matrix(const TensorRequest& request, Buffer& storage) {
    const TensorEntry& entry = *request.entry;
    std::string wanted = options_.format_for ? options_.format_for(entry) : "";
    const std::optional<WeightView> view = checkpoint_.view(entry);
    // Compressed routers are read as fp32: int8 inputs would cost accuracy and save nothing.
    if (request.plain && view && view->traits().has_scales) wanted = "f32";
    if (view && (wanted.empty() || view->traits().name == wanted)) {
      check_kernels(entry, view->traits());
      weights_.mapped_bytes += view->size_bytes();
      return *view;
    }
    const std::string_view name = wanted.empty() ? kept_format(entry) : wanted;
    const FormatTraits* format = find_format(name);
    if (format == nullptr) {
      fail(ErrorCode::kInvalidArgument, "{}: there is no format \"{}\"", entry.name, name);
    }
    check_kernels(entry, *format);
    if (!format->has_scales || request.on_host || !backend_.encodes(format->id)) {
      return materializer_.weight(entry, *format, storage);
    }
    weights_.compressed_on_device = true;
    const WeightView shape = Materializer::shape(entry, *format);
    loading_.encodes = values_ == WeightValues::kRead;
    return shape;
  }

  void check_kernels(const TensorEntry& entry, const FormatTraits& format) const {
    if (backend_.has_kernels(format.id)) return;
    fail(ErrorCode::kUnsupported,
         "{}: tensor {}: {} has no kernels for the format {}; another --format, or --device cpu",
         checkpoint_.path().string(), entry.name, backend_.name(), format.name);
  }

  // The plain format that holds a tensor which cannot be read in place.
  static std::string_view kept_format(const TensorEntry& entry) {
    if (entry.storage == "f32" || entry.dtype == DType::kF64) return "f32";
    // What mxfp4 can be has bf16's range, and not f16's.
    return entry.storage == "bf16" || entry.storage == "mxfp4" ? "bf16" : "f16";
  }

  const Checkpoint& checkpoint_;
  Backend& backend_;
  const LoadOptions& options_;
  DecoderWeights& weights_;
  WeightValues values_;
  Materializer materializer_;
  WeightLoading loading_;
};

// Before anything is read: attention would leave the sinks out.
void refuse_sinks(const Checkpoint& checkpoint, const ModelSpec& spec, const Backend& backend) {
  for (const LayerSpec& layer : spec.layers) {
    const auto* gqa = std::get_if<GqaSpec>(&layer.attention);
    if (gqa == nullptr || !gqa->sinks) continue;
    fail(
        ErrorCode::kUnsupported,
        "{}: attention of {} has sinks (a learned score for each head), which {} does not compute; "
        "run it with --device cpu",
        checkpoint.path().string(), spec.arch, backend.name());
  }
}

}  // namespace

WeightView WeightLoading::place(const LoadedMatrix& matrix) const {
  if (encodes) {
    return materializer.encode(*tensor, matrix.first_row, matrix.weight, *backend.encoder());
  }
  Buffer storage;
  const WeightView view = backend.import_weight(matrix.weight, storage);
  if (!storage.empty()) weights.own(std::move(storage));
  if (placed) placed({*tensor, matrix.first_row, view});
  return view;
}

void WeightLoading::keep(Buffer host) const {
  if (backend.on_host() && !host.empty()) weights.own(std::move(host));
}

void DecoderWeights::add_input(const WeightView& weight, int64_t rows_per_token) {
  const InputShape shape{weight.traits().input, weight.in_padded, weight.group, rows_per_token};
  if (std::find(inputs.begin(), inputs.end(), shape) == inputs.end()) inputs.push_back(shape);
}

DecoderWeights load_weights(const Checkpoint& checkpoint, const ModelSpec& spec,
                            const TensorNames& names, Backend& backend, const LoadOptions& options,
                            WeightValues values) {
  if (!backend.has_sinks()) refuse_sinks(checkpoint, spec, backend);
  DecoderWeights weights;
  const std::vector<TensorRequest> requests =
      find_tensors(checkpoint, spec, names, backend, weights, values == WeightValues::kRead);

  int64_t total_bytes = 0;
  for (const TensorRequest& request : requests) total_bytes += request.entry->stored_bytes;
  int64_t done_bytes = 0;
  TensorLoader loader(checkpoint, backend, options, weights, values);
  for (const TensorRequest& request : requests) {
    loader.load(request);
    done_bytes += request.entry->stored_bytes;
    if (options.progress) options.progress(done_bytes, total_bytes);
  }
  loader.finish();
  if (spec.tied_head) weights.head.weight = weights.embedding;
  return weights;
}

}  // namespace tq
