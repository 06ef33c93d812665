#include "io/native/native_checkpoint.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/folder.h"
#include "io/safetensors/safetensors_checkpoint.h"

namespace tq {
namespace {

constexpr std::string_view kPacked = kPackedSuffix;
constexpr std::string_view kScales = kScalesSuffix;

class NativeCheckpoint : public SafetensorsCheckpoint {
 public:
  NativeCheckpoint(const fs::path& folder, NativeManifest manifest, const OpenOptions& options)
      : SafetensorsCheckpoint(CheckpointKind::kNative, folder, options) {
    made_from_ = name_to_show(manifest.source, "name");
    files_ = std::move(manifest.files);
    std::map<std::string, NativeTensor, std::less<>> described;
    for (NativeTensor& tensor : manifest.tensors) {
      std::string name = tensor.name;
      described.emplace(std::move(name), std::move(tensor));
    }
    std::vector<TensorEntry> entries;
    std::vector<const StoredTensor*> stored;
    for (const StoredTensor& plane : set().tensors()) {
      const std::string_view name = plane.name();
      if (name.ends_with(kScales)) {
        need_plane(name.substr(0, name.size() - kScales.size()), kPacked, plane);
        continue;
      }
      Packed packed;
      if (name.ends_with(kPacked)) {
        const auto at = described.find(name.substr(0, name.size() - kPacked.size()));
        if (at == described.end()) {
          wrong(name, "{} does not describe it", kNativeConfigName);
        }
        packed = open_packed(at->second, plane);
        entries.push_back(packed_entry(at->second, packed));
        described.erase(at);
      } else {
        entries.push_back(plain_entry(plane));
      }
      packed_.push_back(packed);
      stored.push_back(&plane);
    }
    if (!described.empty()) {
      fail(ErrorCode::kNotFound, "{}: {} of the tensors in {} are not in the files, \"{}\" first",
           folder.string(), described.size(), kNativeConfigName, described.begin()->first);
    }
    set_contents(std::move(entries), std::move(stored));
  }

  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    const Packed& packed = packed_of(tensor);
    if (packed.codes == nullptr)
      return SafetensorsCheckpoint::read_rows(tensor, row_begin, n_rows, out);
    check_rows(tensor, row_begin, n_rows);
    WeightView row = packed.view;
    std::vector<float> scratch(static_cast<size_t>(row.in_padded));
    std::vector<uint8_t> codes(static_cast<size_t>(row.code_row_bytes()));
    std::vector<uint16_t> gains(static_cast<size_t>(row.gains_per_row()));
    row.codes = codes.data();
    row.gains = gains.data();
    for (int64_t i = 0; i < n_rows; ++i) {
      const auto at = static_cast<uint64_t>(row_begin + i);
      packed.codes->read(at * codes.size(), codes);
      const size_t gain_bytes = 2 * gains.size();
      if (packed.scales != nullptr) {
        packed.scales->read(at * gain_bytes,
                            {reinterpret_cast<uint8_t*>(gains.data()), gain_bytes});
      }
      decode_row_plain(row, 0, out + i * row.in, scratch.data());
    }
  }

  void read_plane(const TensorEntry& tensor, size_t plane, int64_t offset,
                  std::span<uint8_t> out) const override {
    const Packed& packed = packed_of(tensor);
    (plane == 0 ? packed.codes : packed.scales)->read(static_cast<uint64_t>(offset), out);
  }

  std::vector<std::string> edited_files() const override {
    if (!files_) return {};
    return tq::edited_files(path(), *files_, text_files());
  }

  std::optional<WeightView> view(const TensorEntry& tensor) const override {
    const Packed& packed = packed_of(tensor);
    if (packed.codes == nullptr) return SafetensorsCheckpoint::view(tensor);
    if (reinterpret_cast<uintptr_t>(packed.view.gains) % alignof(uint16_t) != 0) {
      return std::nullopt;
    }
    return packed.view;
  }

  void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const override {
    SafetensorsCheckpoint::drop_rows(tensor, row_begin, n_rows);
    const Packed& packed = packed_of(tensor);
    if (packed.scales != nullptr) drop_plane_rows(*packed.scales, tensor, row_begin, n_rows);
  }

 private:
  struct Packed {  // empty for a plain tensor
    const StoredTensor* codes = nullptr;
    const StoredTensor* scales = nullptr;  // null for formats without
    WeightView view;
  };

  const Packed& packed_of(const TensorEntry& tensor) const {
    return packed_[static_cast<size_t>(tensor.index)];
  }

  template <typename... Args>
  [[noreturn]] void wrong(std::string_view name, fmt::format_string<Args...> format,
                          Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": {}", path().string(), name,
         fmt::format(format, std::forward<Args>(args)...));
  }

  const StoredTensor& need_plane(std::string_view base, std::string_view suffix,
                                 const StoredTensor& partner) const {
    const StoredTensor* plane = set().find(std::string(base) + std::string(suffix));
    if (plane == nullptr) wrong(partner.name(), "there is no {}{}", base, suffix);
    return *plane;
  }

  void check_plane(const StoredTensor& plane, DType dtype, const Shape& shape) const {
    if (plane.entry->dtype == dtype && plane.entry->shape == shape) return;
    wrong(plane.name(), "is {} {}, must be {} {}", dtype_info(plane.entry->dtype).name,
          shape_string(plane.entry->shape), dtype_info(dtype).name, shape_string(shape));
  }

  Packed open_packed(const NativeTensor& tensor, const StoredTensor& codes) const {
    const FormatTraits& format = *find_format(tensor.format);  // parse has checked it
    Packed packed;
    packed.codes = &codes;
    WeightView& view = packed.view;
    view.format = format.id;
    view.experts = tensor.shape.size() == 3 ? tensor.shape[0] : 1;
    view.rows = tensor.shape[tensor.shape.size() - 2];
    view.in = tensor.shape.back();
    view.in_padded = tensor.in_padded;
    view.group = tensor.group;
    view.codes = codes.bytes().data();
    const int64_t n_rows = view.experts * view.rows;
    check_plane(codes, DType::kU8, {n_rows, view.code_row_bytes()});
    if (format.has_scales) {
      packed.scales = &need_plane(tensor.name, kScales, codes);
      check_plane(*packed.scales, DType::kF16, {n_rows, view.gains_per_row()});
      view.gains = reinterpret_cast<const uint16_t*>(packed.scales->bytes().data());
    } else if (set().find(tensor.name + kScalesSuffix) != nullptr) {
      wrong(tensor.name, "format {} has no {}", tensor.format, kScales);
    }
    return packed;
  }

  static TensorEntry packed_entry(const NativeTensor& tensor, const Packed& packed) {
    TensorEntry entry;
    entry.name = tensor.name;
    entry.shape = tensor.shape;
    entry.storage = tensor.format;
    entry.stored_bytes = packed.view.size_bytes();
    return entry;
  }

  std::optional<NativeFiles> files_;
  std::vector<Packed> packed_;  // parallel to tensors()
};

}  // namespace

std::unique_ptr<Checkpoint> open_native_checkpoint(const fs::path& folder, NativeManifest manifest,
                                                   const OpenOptions& options) {
  return std::make_unique<NativeCheckpoint>(folder, std::move(manifest), options);
}

}  // namespace tq
