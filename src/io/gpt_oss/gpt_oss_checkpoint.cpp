#include "io/gpt_oss/gpt_oss_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"
#include "io/folder.h"
#include "io/mxfp4.h"
#include "io/safetensors/safetensors_checkpoint.h"

namespace tq {
namespace {

enum class ExpertForm : uint8_t {
  kPlain,       // a tensor as it is
  kMxfp4,       // blocks [experts, all rows, groups, 16], scales [experts, all rows, groups]
  kTransposed,  // [experts, in, all rows]
  kBias,        // [experts, all rows]
};

// Every step-th row of a tensor from `first` on.
struct ExpertPart {
  ExpertForm form = ExpertForm::kPlain;
  const StoredTensor* scales = nullptr;
  int64_t first = 0;
  int64_t step = 1;
};

class GptOssCheckpoint final : public SafetensorsCheckpoint {
 public:
  GptOssCheckpoint(const fs::path& folder, const OpenOptions& options)
      : SafetensorsCheckpoint(CheckpointKind::kHuggingFace, folder, options) {
    check_quantization(options);
    for (const StoredTensor& tensor : set().tensors()) add(tensor);
    set_contents(std::move(entries_), std::move(places_));
  }

  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    const ExpertPart& part = part_of(tensor);
    if (part.form == ExpertForm::kPlain) {
      return SafetensorsCheckpoint::read_rows(tensor, row_begin, n_rows, out);
    }
    check_rows(tensor, row_begin, n_rows);
    if (n_rows == 0) return;
    const int64_t rows = tensor.n_rows() / tensor.shape[0];  // of an expert
    for (int64_t row = row_begin; row < row_begin + n_rows;) {
      const int64_t n = std::min(rows - row % rows, row_begin + n_rows - row);
      const RowRange range{row / rows, row % rows, n};
      if (part.form == ExpertForm::kMxfp4) {
        read_mxfp4(tensor, part, range, out);
      } else if (part.form == ExpertForm::kTransposed) {
        read_transposed(tensor, part, range, out);
      } else {
        read_bias(tensor, part, range, out);
      }
      row += n;
      out += n * tensor.in();
    }
  }

  std::vector<StoredPlane> stored_planes(const TensorEntry& tensor) const override {
    const ExpertPart& part = part_of(tensor);
    if (part.form == ExpertForm::kPlain) return {};
    std::vector<StoredPlane> planes = {{stored(tensor).name(), stored(tensor).bytes()}};
    if (part.scales != nullptr) planes.push_back({part.scales->name(), part.scales->bytes()});
    return planes;
  }

  void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const override {
    if (part_of(tensor).form == ExpertForm::kPlain) {
      return SafetensorsCheckpoint::drop_rows(tensor, row_begin, n_rows);
    }
    // Every page has something of most rows: they go with the last.
    check_rows(tensor, row_begin, n_rows);
    if (row_begin + n_rows < tensor.n_rows()) return;
    const StoredTensor& plane = stored(tensor);
    plane.file->drop(plane.entry->offset, plane.entry->size_bytes);
  }

 private:
  // Rows [first, first + n) of an expert.
  struct RowRange {
    int64_t expert;
    int64_t first;
    int64_t n;
  };

  // Experts are known by their tensors; the config may say that they are mxfp4, and then no more.
  void check_quantization(const OpenOptions& options) {
    const auto quantization = config_.find("quantization_config");
    if (quantization == config_.end()) return;
    if (quantization->is_object() && quantization->value("quant_method", Json()) == "mxfp4") {
      config_.erase("quantization_config");
      return;
    }
    try {
      refuse_foreign_quantization(config_, name_of("config.json"));
    } catch (const Error& error) {
      if (!options.inspect) throw;
      problem_ = error;
    }
  }

  [[noreturn]] void wrong(const StoredTensor& tensor, const std::string& what) const {
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" {} {}: {}", path().string(), tensor.name(),
         dtype_info(tensor.entry->dtype).name, shape_string(tensor.entry->shape), what);
  }

  const ExpertPart& part_of(const TensorEntry& tensor) const {
    return parts_[static_cast<size_t>(tensor.index)];
  }

  void push(const StoredTensor& tensor, TensorEntry entry, const ExpertPart& part) {
    entries_.push_back(std::move(entry));
    places_.push_back(&tensor);
    parts_.push_back(part);
  }

  void add(const StoredTensor& tensor) {
    const std::string& name = tensor.name();
    const size_t at = name.find(".mlp.experts.");
    const std::string_view last =
        at == std::string::npos
            ? std::string_view()
            : std::string_view(name).substr(at + std::string_view(".mlp.experts.").size());
    if (last == "gate_up_proj_blocks" || last == "down_proj_blocks") return add_mxfp4(tensor);
    if (last == "gate_up_proj" || last == "down_proj") return add_transposed(tensor);
    if (last == "gate_up_proj_scales" || last == "down_proj_scales") {
      need(tensor, "_scales", "_blocks");
      return;
    }
    if (last == "gate_up_proj_bias" || last == "down_proj_bias") return add_bias(tensor);
    push(tensor, plain_entry(tensor), {});
  }

  const StoredTensor& need(const StoredTensor& tensor, std::string_view from,
                           std::string_view to) const {
    std::string name = tensor.name();
    name.replace(name.size() - from.size(), from.size(), to);
    const StoredTensor* partner = set().find(name);
    if (partner == nullptr) wrong(tensor, fmt::format("there is no {}", name));
    return *partner;
  }

  // One tensor, or the two that its rows belong to in turn. `rows`: in each of the experts.
  void add_parts(const StoredTensor& tensor, std::string_view ending, Shape shape,
                 ExpertPart part) {
    std::string prefix = tensor.name();
    prefix.resize(prefix.size() - ending.size());
    const bool both = prefix.ends_with(".gate_up_proj");
    int64_t& rows = shape[1];
    if (both && rows % 2 != 0) wrong(tensor, "gate and up must have as many rows");
    const std::string_view suffix = part.form == ExpertForm::kBias ? ".bias" : ".weight";
    TensorEntry entry;
    entry.storage = part.form == ExpertForm::kMxfp4
                        ? "mxfp4"
                        : lower_case(dtype_info(tensor.entry->dtype).name);
    entry.stored_bytes = static_cast<int64_t>(tensor.entry->size_bytes);
    if (part.scales != nullptr) {
      entry.stored_bytes += static_cast<int64_t>(part.scales->entry->size_bytes);
    }
    if (!both) {
      entry.name = fmt::format("{}{}", prefix, suffix);
      entry.shape = std::move(shape);
      return push(tensor, std::move(entry), part);
    }
    rows /= 2;
    part.step = 2;
    entry.stored_bytes /= 2;
    prefix.resize(prefix.size() - std::string_view("gate_up_proj").size());
    for (const char* name : {"gate_proj", "up_proj"}) {
      entry.name = fmt::format("{}{}{}", prefix, name, suffix);
      entry.shape = shape;
      push(tensor, entry, part);
      ++part.first;
    }
  }

  void add_mxfp4(const StoredTensor& blocks) {
    const StoredTensor& scales = need(blocks, "_blocks", "_scales");
    const Shape& shape = blocks.entry->shape;
    if (blocks.entry->dtype != DType::kU8 || shape.size() != 4 || shape[3] != kMxfp4Group / 2) {
      wrong(blocks, "must be U8 [experts, rows, groups, 16]");
    }
    if (scales.entry->dtype != DType::kU8 ||
        scales.entry->shape != Shape(shape.begin(), shape.end() - 1)) {
      wrong(scales, fmt::format("does not fit {}", blocks.name()));
    }
    add_parts(blocks, "_blocks", {shape[0], shape[1], shape[2] * kMxfp4Group},
              {ExpertForm::kMxfp4, &scales});
  }

  void expect_floats(const StoredTensor& tensor, size_t rank) const {
    const DType dtype = tensor.entry->dtype;
    const bool floats = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
    if (!floats || tensor.entry->shape.size() != rank) {
      wrong(tensor, fmt::format("must be F32, F16 or BF16 with {} dimensions", rank));
    }
  }

  void add_transposed(const StoredTensor& tensor) {
    expect_floats(tensor, 3);
    const Shape& shape = tensor.entry->shape;
    add_parts(tensor, "", {shape[0], shape[2], shape[1]}, {ExpertForm::kTransposed});
  }

  void add_bias(const StoredTensor& tensor) {
    expect_floats(tensor, 2);
    add_parts(tensor, "_bias", tensor.entry->shape, {ExpertForm::kBias});
  }

  void read_mxfp4(const TensorEntry& tensor, const ExpertPart& part, const RowRange& range,
                  float* out) const {
    const StoredTensor& blocks = stored(tensor);
    const int64_t all_rows = blocks.entry->shape[1];
    const int64_t groups = blocks.entry->shape[2];
    constexpr int64_t kBytes = kMxfp4Group / 2;
    std::vector<uint8_t> codes(static_cast<size_t>(groups * kBytes));
    std::vector<uint8_t> scales(static_cast<size_t>(groups));
    for (int64_t i = 0; i < range.n; ++i) {
      const int64_t row = range.expert * all_rows + part.first + (range.first + i) * part.step;
      blocks.read(static_cast<uint64_t>(row) * codes.size(), codes);
      part.scales->read(static_cast<uint64_t>(row) * scales.size(), scales);
      for (size_t k = 0; k < codes.size(); ++k) {
        const uint8_t scale = scales[k / kBytes];
        *out++ = mxfp4_value(codes[k] & 15, scale);
        *out++ = mxfp4_value(codes[k] >> 4, scale);
      }
    }
  }

  // A few bytes of each line of the expert.
  void read_transposed(const TensorEntry& tensor, const ExpertPart& part, const RowRange& range,
                       float* out) const {
    const StoredTensor& plane = stored(tensor);
    const int64_t in = tensor.in();
    const int64_t all_rows = plane.entry->shape[2];
    const auto bytes = static_cast<size_t>(dtype_info(plane.entry->dtype).bytes);
    thread_local std::vector<uint8_t> gathered;
    gathered.resize(static_cast<size_t>(range.n * in) * bytes);
    const uint8_t* expert =
        plane.bytes().data() + static_cast<size_t>(range.expert * in * all_rows) * bytes;
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t r = 0; r < range.n; ++r) {
        const int64_t from = i * all_rows + part.first + (range.first + r) * part.step;
        std::memcpy(gathered.data() + static_cast<size_t>(r * in + i) * bytes,
                    expert + static_cast<size_t>(from) * bytes, bytes);
      }
    }
    to_f32(plane.entry->dtype, gathered.data(), range.n * in, out);
  }

  // An entry's rows are experts: range.expert is one, and there is one row of it.
  void read_bias(const TensorEntry& tensor, const ExpertPart& part, const RowRange& range,
                 float* out) const {
    const StoredTensor& plane = stored(tensor);
    const int64_t all_rows = plane.entry->shape[1];
    const auto bytes = static_cast<size_t>(dtype_info(plane.entry->dtype).bytes);
    std::vector<uint8_t> line(static_cast<size_t>(all_rows) * bytes);
    plane.read(static_cast<uint64_t>(range.expert) * line.size(), line);
    std::vector<float> values(static_cast<size_t>(all_rows));
    to_f32(plane.entry->dtype, line.data(), all_rows, values.data());
    for (int64_t i = 0; i < tensor.in(); ++i) {
      out[i] = values[static_cast<size_t>(part.first + i * part.step)];
    }
  }

  std::vector<TensorEntry> entries_;         // until they are set
  std::vector<const StoredTensor*> places_;  // likewise
  std::vector<ExpertPart> parts_;            // parallel to tensors()
};

}  // namespace

std::unique_ptr<Checkpoint> open_gpt_oss_checkpoint(const fs::path& folder,
                                                    const OpenOptions& options) {
  return std::make_unique<GptOssCheckpoint>(folder, options);
}

}  // namespace tq
