#include "io/safetensors/safetensors_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/check.h"
#include "base/math.h"
#include "io/folder.h"
#include "io/folder_hints.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

bool is_readable(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 ||
         dtype == DType::kBF16;
}

class HfCheckpoint : public SafetensorsCheckpoint {
 public:
  HfCheckpoint(const fs::path& path, const OpenOptions& options, std::optional<Error> problem)
      : SafetensorsCheckpoint(CheckpointKind::kHuggingFace, path, options) {
    problem_ = std::move(problem);
    if (!problem_) check(options);
    std::vector<TensorEntry> entries;
    std::vector<const StoredTensor*> stored;
    for (const StoredTensor& tensor : set().tensors()) {
      entries.push_back(plain_entry(tensor));
      stored.push_back(&tensor);
    }
    set_contents(std::move(entries), std::move(stored));
    not_a_model_ = what_else(path);
  }

 private:
  // What the files are if they are no model.
  std::string what_else(const fs::path& path) const {
    const bool folder = is_folder(path);
    const fs::path where = folder ? path : path.parent_path();
    const bool lora = std::any_of(tensors().begin(), tensors().end(), [](const TensorEntry& entry) {
      return entry.name.find(".lora_A.") != std::string::npos;
    });
    if (lora) return adapter_text(where, {"adapter_model.safetensors"});
    if (folder) return adapter_text(where, list_files(where));
    if (!is_there(where / "config.json")) return "";
    return fmt::format("its weights alone, without config and tokenizer; name the folder {}",
                       where.empty() ? "." : where.string());
  }

  void check(const OpenOptions& options) {
    try {
      refuse_foreign_quantization(config(), (path() / "config.json").string());
      for (const StoredTensor& tensor : set().tensors()) refuse_packed(tensor);
    } catch (const Error& error) {
      if (!options.inspect) throw;
      problem_ = error;
    }
  }

  void refuse_packed(const StoredTensor& tensor) const {
    if (!tensor.name().ends_with(kPackedSuffix)) return;
    fail(ErrorCode::kUnsupported,
         "{}: tensor \"{}\" is compressed, which these files alone do not explain; open the whole "
         "folder, with its {}",
         path().string(), tensor.name(), kNativeConfigName);
  }
};

}  // namespace

SafetensorsCheckpoint::SafetensorsCheckpoint(CheckpointKind kind, const fs::path& path,
                                             const OpenOptions& options)
    : Checkpoint(kind, path), folder_(is_folder(path) ? path : fs::path()), set_(path) {
  if (!folder_.empty()) config_ = read_model_config(folder_);
  ignore_fields(config_, options.ignore_config, name_of("config.json"));
}

std::vector<std::string> SafetensorsCheckpoint::text_files() const {
  return folder_.empty() ? std::vector<std::string>() : list_text_files(folder_);
}

std::optional<std::string> SafetensorsCheckpoint::text_file(std::string_view name) const {
  return folder_.empty() ? std::nullopt : read_small_file(folder_, name);
}

void SafetensorsCheckpoint::read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                                      float* out) const {
  check_rows(tensor, row_begin, n_rows);
  TQ_CHECK(tensor.dtype, "{} is compressed", tensor.name);
  if (!is_readable(*tensor.dtype)) {
    fail(ErrorCode::kUnsupported,
         "{}: tensor \"{}\" is {}: only F64, F32, F16 and BF16 can be read as numbers",
         path().string(), tensor.name, dtype_info(*tensor.dtype).name);
  }
  if (n_rows == 0 || tensor.in() == 0) return;  // out may be null
  // In pieces, so that few bytes lie beside the numbers.
  constexpr int64_t kPieceElements = int64_t{256} << 10;
  const int64_t bytes = dtype_info(*tensor.dtype).bytes;
  const int64_t end = (row_begin + n_rows) * tensor.in();
  thread_local std::vector<uint8_t> piece;
  for (int64_t at = row_begin * tensor.in(); at < end; at += kPieceElements) {
    const int64_t n = std::min(kPieceElements, end - at);
    piece.resize(static_cast<size_t>(n * bytes));
    stored(tensor).read(static_cast<uint64_t>(at * bytes), piece);
    to_f32(*tensor.dtype, piece.data(), n, out);
    out += n;
  }
}

std::optional<WeightView> SafetensorsCheckpoint::view(const TensorEntry& tensor) const {
  const size_t rank = tensor.shape.size();
  if (!tensor.dtype || (rank != 2 && rank != 3) || tensor.n_elements() == 0) return std::nullopt;
  const FormatTraits* format = find_format(tensor.storage);
  const uint8_t* data = raw(tensor).data();
  const auto alignment = static_cast<uintptr_t>(dtype_info(*tensor.dtype).bytes);
  if (format == nullptr || reinterpret_cast<uintptr_t>(data) % alignment != 0) return std::nullopt;
  WeightView view;
  view.format = format->id;
  view.experts = rank == 3 ? tensor.shape[0] : 1;
  view.rows = tensor.shape[rank - 2];
  view.in = view.in_padded = tensor.in();
  view.codes = data;
  return view;
}

std::span<const uint8_t> SafetensorsCheckpoint::raw(const TensorEntry& tensor) const {
  TQ_CHECK(tensor.dtype, "{} is compressed", tensor.name);
  return stored(tensor).bytes();
}

void SafetensorsCheckpoint::read_raw(const TensorEntry& tensor, int64_t offset,
                                     std::span<uint8_t> out) const {
  const StoredTensor& place = stored(tensor);
  TQ_CHECK(offset >= 0 && static_cast<uint64_t>(offset) + out.size() <= place.entry->size_bytes,
           "bytes {} + {} of {}", offset, out.size(), tensor.name);
  place.file->read_at(place.entry->offset + static_cast<uint64_t>(offset), out);
}

void SafetensorsCheckpoint::drop_rows(const TensorEntry& tensor, int64_t row_begin,
                                      int64_t n_rows) const {
  drop_plane_rows(stored(tensor), tensor, row_begin, n_rows);
}

TensorEntry SafetensorsCheckpoint::plain_entry(const StoredTensor& tensor) {
  TensorEntry entry;
  entry.name = tensor.name();
  entry.shape = tensor.entry->shape;
  entry.dtype = tensor.entry->dtype;
  entry.storage = lower_case(dtype_info(*entry.dtype).name);
  entry.stored_bytes = static_cast<int64_t>(tensor.entry->size_bytes);
  return entry;
}

void SafetensorsCheckpoint::set_contents(std::vector<TensorEntry> entries,
                                         std::vector<const StoredTensor*> stored) {
  TQ_CHECK(entries.size() == stored.size(), "entries and their places differ in number");
  stored_ = std::move(stored);
  set_tensors(std::move(entries));
}

void SafetensorsCheckpoint::check_rows(const TensorEntry& tensor, int64_t row_begin,
                                       int64_t n_rows) {
  TQ_CHECK(row_begin >= 0 && n_rows >= 0 && row_begin <= tensor.n_rows() - n_rows,
           "rows {} + {} of {} in {}", row_begin, n_rows, tensor.n_rows(), tensor.name);
}

void SafetensorsCheckpoint::drop_plane_rows(const StoredTensor& plane, const TensorEntry& tensor,
                                            int64_t row_begin, int64_t n_rows) {
  check_rows(tensor, row_begin, n_rows);
  if (tensor.n_rows() == 0) return;
  const uint64_t row_bytes = plane.entry->size_bytes / static_cast<uint64_t>(tensor.n_rows());
  plane.file->drop(plane.entry->offset + static_cast<uint64_t>(row_begin) * row_bytes,
                   static_cast<uint64_t>(n_rows) * row_bytes);
}

std::unique_ptr<Checkpoint> open_hf_checkpoint(const fs::path& path, const OpenOptions& options,
                                               std::optional<Error> problem) {
  return std::make_unique<HfCheckpoint>(path, options, std::move(problem));
}

}  // namespace tq
