#include "io/ints/int_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/math.h"
#include "format/int_groups.h"
#include "io/folder.h"
#include "io/safetensors/safetensors_checkpoint.h"

namespace tq {
namespace {

constexpr int64_t kAwqColumns = 8;  // outputs in a word
constexpr int kGroupsRead[] = {32, 64, 128};
constexpr int64_t kMostInputs = int64_t{1} << 31;

// Where a linear lies in the files.
struct IntPlanes {
  const StoredTensor* codes = nullptr;  // null for a tensor that is stored plainly
  const StoredTensor* scales = nullptr;
  const StoredTensor* zeros = nullptr;  // null where symmetric
  const StoredTensor* shape = nullptr;  // compressed-tensors
  IntScheme scheme;
  int64_t rows = 0;
  int64_t in = 0;
  int64_t groups() const { return in / scheme.group; }
};

// The names that a layout gives to the planes of "X.weight", by what follows "X.".
struct PlaneNames {
  std::string_view codes;
  std::string_view scales;
  std::string_view zeros;
  std::string_view shape;  // empty: none
};
constexpr PlaneNames kAwqNames = {"qweight", "scales", "qzeros", ""};
constexpr PlaneNames kRowNames = {"weight_packed", "weight_scale", "weight_zero_point",
                                  "weight_shape"};

class IntCheckpoint : public SafetensorsCheckpoint {
 public:
  IntCheckpoint(const fs::path& folder, NativeManifest manifest, const OpenOptions& options)
      : SafetensorsCheckpoint(kind_of(manifest, folder), folder, options),
        names_(kind() == CheckpointKind::kAwq ? kAwqNames : kRowNames) {
    made_from_ = name_to_show(manifest.source, "name");
    has_zero_points_ = says_asymmetric(config());
    files_ = std::move(manifest.files);
    std::vector<TensorEntry> entries;
    std::vector<const StoredTensor*> stored;
    for (const StoredTensor& plane : set().tensors()) {
      const std::string_view name = plane.name();
      const size_t dot = name.rfind('.');
      const std::string_view last = dot == std::string_view::npos ? "" : name.substr(dot + 1);
      const std::string module(name.substr(0, dot == std::string_view::npos ? 0 : dot));
      IntPlanes planes;
      if (last == names_.codes) {
        planes =
            kind() == CheckpointKind::kAwq ? open_awq(plane, module) : open_rows(plane, module);
        entries.push_back(entry_of(planes, module + ".weight"));
      } else if (last == names_.scales || last == names_.zeros ||
                 (!names_.shape.empty() && last == names_.shape)) {
        need(module, names_.codes, plane);
        continue;
      } else {
        entries.push_back(plain_entry(plane));
      }
      planes_.push_back(planes);
      stored.push_back(&plane);
    }
    set_contents(std::move(entries), std::move(stored));
  }

  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    const IntPlanes& planes = planes_of(tensor);
    if (planes.codes == nullptr) {
      return SafetensorsCheckpoint::read_rows(tensor, row_begin, n_rows, out);
    }
    check_rows(tensor, row_begin, n_rows);
    Row row(planes);
    for (int64_t i = 0; i < n_rows; ++i) {
      if (kind() == CheckpointKind::kAwq) {
        read_awq(planes, row_begin + i, row);
      } else {
        read_row(planes, row_begin + i, row);
      }
      decode_int_row(planes.scheme, row.codes.data(), row.scales.data(), row.zeros.data(),
                     planes.in, out + i * planes.in);
    }
  }

  std::vector<StoredPlane> stored_planes(const TensorEntry& tensor) const override {
    const IntPlanes& planes = planes_of(tensor);
    std::vector<StoredPlane> list;
    for (const StoredTensor* plane : {planes.codes, planes.scales, planes.zeros, planes.shape}) {
      if (plane != nullptr) list.push_back({plane->name(), plane->bytes()});
    }
    return list;
  }

  void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const override {
    const IntPlanes& planes = planes_of(tensor);
    if (planes.codes == nullptr || kind() == CheckpointKind::kCompressedTensors) {
      return SafetensorsCheckpoint::drop_rows(tensor, row_begin, n_rows);
    }
    // Every page of a plane has something of most rows: they go with the last.
    check_rows(tensor, row_begin, n_rows);
    if (row_begin + n_rows < tensor.n_rows()) return;
    planes.codes->file->drop(planes.codes->entry->offset, planes.codes->entry->size_bytes);
  }

  std::vector<std::string> edited_files() const override {
    if (!files_) return {};
    return tq::edited_files(path(), *files_, text_files());
  }

 private:
  // What decode_int_row() reads.
  struct Row {
    std::vector<uint8_t> codes;
    std::vector<uint16_t> scales;
    std::vector<uint8_t> zeros;
    explicit Row(const IntPlanes& planes)
        : codes(static_cast<size_t>(planes.in)),
          scales(static_cast<size_t>(planes.groups())),
          zeros(scales.size(), static_cast<uint8_t>(planes.scheme.middle())) {}
  };

  static CheckpointKind kind_of(const NativeManifest& manifest, const fs::path& folder) {
    if (manifest.layout == "awq") return CheckpointKind::kAwq;
    if (manifest.layout == "compressed-tensors") return CheckpointKind::kCompressedTensors;
    fail(ErrorCode::kUnsupported,
         "{}: layout \"{}\": this build has none of that name; a newer "
         "version may",
         (folder / kNativeConfigName).string(), manifest.layout);
  }

  // Of compressed-tensors: whether a group of its config has zero points; then all of ours have.
  static bool says_asymmetric(const Json& config) {
    const Json* at = member(config, "quantization_config");
    const Json* groups = at == nullptr ? nullptr : member(*at, "config_groups");
    if (groups == nullptr) return false;
    for (const Json& group : *groups) {
      const Json* weights = member(group, "weights");
      const Json* symmetric = weights == nullptr ? nullptr : member(*weights, "symmetric");
      if (symmetric != nullptr && *symmetric == false) return true;
    }
    return false;
  }
  // Of an object; null where there is none.
  static const Json* member(const Json& json, const char* name) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(name);
    return found == json.end() ? nullptr : &*found;
  }

  const IntPlanes& planes_of(const TensorEntry& tensor) const {
    return planes_[static_cast<size_t>(tensor.index)];
  }

  template <typename... Args>
  [[noreturn]] void wrong(const StoredTensor& plane, fmt::format_string<Args...> format,
                          Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" {} {}: {}", path().string(), plane.name(),
         dtype_info(plane.entry->dtype).name, shape_string(plane.entry->shape),
         fmt::format(format, std::forward<Args>(args)...));
  }

  const StoredTensor& need(const std::string& module, std::string_view last,
                           const StoredTensor& partner) const {
    const StoredTensor* plane = set().find(module + "." + std::string(last));
    if (plane == nullptr) wrong(partner, "there is no {}.{}", module, last);
    return *plane;
  }

  void check(const StoredTensor& plane, DType dtype, const Shape& shape) const {
    if (plane.entry->dtype == dtype && plane.entry->shape == shape) return;
    wrong(plane, "must be {} {}", dtype_info(dtype).name, shape_string(shape));
  }

  // Group and type of the scales, of which a row of `in` weights has `n`.
  void read_scale_type(IntPlanes& planes, int64_t n) const {
    const StoredTensor& scales = *planes.scales;
    const DType dtype = scales.entry->dtype;
    if (dtype != DType::kF16 && dtype != DType::kBF16) wrong(scales, "must be F16 or BF16");
    planes.scheme.scale = dtype == DType::kF16 ? IntScale::kF16 : IntScale::kBf16;
    for (const int group : kGroupsRead) {
      if (n > 0 && n <= planes.in && planes.in % n == 0 && planes.in / n == group) {
        planes.scheme.group = group;
        return;
      }
    }
    wrong(scales, "{} scales for rows of {}: groups must be 32, 64 or 128", n, planes.in);
  }

  // Of rows of `in` weights in so many words; 0 where none fit.
  static int bits_of(int64_t in, int64_t words) {
    if (in <= 0 || in > kMostInputs || in % 32 != 0) return 0;
    for (const int bits : {3, 4, 8}) {
      if (in / 32 * bits == words) return bits;
    }
    return 0;
  }

  IntPlanes open_rows(const StoredTensor& codes, const std::string& module) const {
    IntPlanes planes;
    planes.codes = &codes;
    planes.scales = &need(module, names_.scales, codes);
    planes.shape = &need(module, names_.shape, codes);
    planes.zeros = set().find(module + "." + std::string(names_.zeros));
    check(*planes.shape, DType::kI64, {2});
    int64_t shape[2];
    planes.shape->read(0, {reinterpret_cast<uint8_t*>(shape), sizeof(shape)});
    const Shape& stored = codes.entry->shape;
    const Shape& scales = planes.scales->entry->shape;
    if (stored.size() != 2 || scales.size() != 2) wrong(codes, "planes must be [outputs, ...]");
    planes.rows = shape[0];
    planes.in = shape[1];
    planes.scheme.bits = bits_of(planes.in, stored[1]);
    if (planes.scheme.bits == 0)
      wrong(codes, "no 3, 4 or 8 bits for rows of {} weights", planes.in);
    read_scale_type(planes, scales[1]);
    planes.scheme.symmetric = planes.zeros == nullptr;
    if (planes.scheme.symmetric && has_zero_points_) {
      wrong(codes, "config.json says \"symmetric\": false, but there is no {}.{}", module,
            names_.zeros);
    }
    const int64_t groups = planes.groups();
    if (planes.rows == 0) wrong(codes, "must be I32 [outputs, {}]", stored[1]);
    check(codes, DType::kI32, {planes.rows, stored[1]});
    check(*planes.scales, planes.scales->entry->dtype, {planes.rows, groups});
    if (planes.zeros == nullptr) return planes;
    if (planes.rows * planes.scheme.bits % 32 != 0) {
      wrong(*planes.zeros, "{} outputs are no whole words", planes.rows);
    }
    check(*planes.zeros, DType::kI32, {planes.rows * planes.scheme.bits / 32, groups});
    return planes;
  }

  IntPlanes open_awq(const StoredTensor& codes, const std::string& module) const {
    IntPlanes planes;
    planes.codes = &codes;
    planes.scales = &need(module, names_.scales, codes);
    planes.zeros = &need(module, names_.zeros, codes);
    const Shape& stored = codes.entry->shape;
    const Shape& scales = planes.scales->entry->shape;
    if (stored.size() != 2 || scales.size() != 2) wrong(codes, "planes must be [inputs, ...]");
    planes.in = stored[0];
    planes.rows = scales[1];
    planes.scheme.bits = 4;
    planes.scheme.symmetric = false;
    read_scale_type(planes, scales[0]);
    if (planes.rows <= 0 || planes.rows % kAwqColumns != 0 || planes.in > kMostInputs) {
      wrong(*planes.scales, "outputs are no multiple of 8, or inputs too many");
    }
    const int64_t words = planes.rows / kAwqColumns;
    check(codes, DType::kI32, {planes.in, words});
    check(*planes.scales, DType::kF16, {planes.groups(), planes.rows});
    check(*planes.zeros, DType::kI32, {planes.groups(), words});
    return planes;
  }

  static TensorEntry entry_of(const IntPlanes& planes, std::string name) {
    TensorEntry entry;
    entry.name = std::move(name);
    entry.shape = {planes.rows, planes.in};
    entry.storage = planes.scheme.name();
    for (const StoredTensor* plane : {planes.codes, planes.scales, planes.zeros, planes.shape}) {
      if (plane != nullptr) entry.stored_bytes += static_cast<int64_t>(plane->entry->size_bytes);
    }
    return entry;
  }

  static void read_row(const IntPlanes& planes, int64_t row, Row& out) {
    const int bits = planes.scheme.bits;
    std::vector<uint8_t> packed(static_cast<size_t>(planes.in * bits / 8));
    planes.codes->read(static_cast<uint64_t>(row) * packed.size(), packed);
    unpack_codes(packed.data(), planes.in, bits, out.codes.data());
    const auto scale_bytes = static_cast<uint64_t>(planes.groups() * 2);
    planes.scales->read(static_cast<uint64_t>(row) * scale_bytes,
                        {reinterpret_cast<uint8_t*>(out.scales.data()), scale_bytes});
    if (planes.zeros == nullptr) return;
    // The row's bits of each column: they may lie in two words, which are under each other.
    const int64_t bit = row * bits;
    const auto words = static_cast<size_t>(planes.groups());
    std::vector<uint32_t> low(words);
    std::vector<uint32_t> high(words);
    const auto read_words = [&](int64_t word, std::vector<uint32_t>& to) {
      planes.zeros->read(static_cast<uint64_t>(word) * words * 4,
                         {reinterpret_cast<uint8_t*>(to.data()), words * 4});
    };
    read_words(bit / 32, low);
    if (bit % 32 + bits > 32) read_words(bit / 32 + 1, high);
    for (size_t g = 0; g < words; ++g) {
      const uint64_t both = low[g] | static_cast<uint64_t>(high[g]) << 32;
      out.zeros[g] =
          static_cast<uint8_t>((both >> (bit % 32)) & static_cast<uint64_t>(planes.scheme.most()));
    }
  }

  // A column of the planes: one word of each of their rows.
  static void read_awq(const IntPlanes& planes, int64_t row, Row& out) {
    const auto words = static_cast<size_t>(planes.rows / kAwqColumns);
    const auto word = static_cast<size_t>(row / kAwqColumns);
    const int column = static_cast<int>(row % kAwqColumns);
    const auto gather = [&](const StoredTensor& plane, std::vector<uint8_t>& to) {
      const uint8_t* bytes = plane.bytes().data();
      for (size_t k = 0; k < to.size(); ++k) {
        uint32_t eight = 0;
        std::memcpy(&eight, bytes + (k * words + word) * 4, 4);
        to[k] = awq_code(eight, column);
      }
    };
    gather(*planes.codes, out.codes);
    gather(*planes.zeros, out.zeros);
    const uint8_t* scales = planes.scales->bytes().data();
    const size_t stride = static_cast<size_t>(planes.rows) * 2;
    for (size_t g = 0; g < out.scales.size(); ++g) {
      std::memcpy(&out.scales[g], scales + g * stride + static_cast<size_t>(row) * 2, 2);
    }
  }

  const PlaneNames names_;
  bool has_zero_points_ = false;
  std::optional<NativeFiles> files_;
  std::vector<IntPlanes> planes_;  // parallel to tensors()
};

}  // namespace

std::unique_ptr<Checkpoint> open_int_checkpoint(const fs::path& folder, NativeManifest manifest,
                                                const OpenOptions& options) {
  return std::make_unique<IntCheckpoint>(folder, std::move(manifest), options);
}

}  // namespace tq
