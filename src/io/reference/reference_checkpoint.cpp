#include "io/reference/reference_checkpoint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/float16.h"
#include "base/log.h"
#include "base/math.h"
#include "format/hadamard.h"
#include "io/folder.h"
#include "io/native/native_manifest.h"
#include "io/reference/reference_shapes.h"
#include "io/safetensors/safetensors_checkpoint.h"
#include "tensor/buffer.h"

namespace tq {
namespace {

constexpr std::string_view kPackedPlane = kPackedSuffix;
constexpr std::string_view kNorms = ".tq_norms";
constexpr std::string_view kWeight = ".weight";
constexpr uint16_t kOneF16 = 0x3c00;

std::string_view without(std::string_view name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

// Scales of FP8 sources that some writers left behind; the weights have them applied.
bool is_leftover(std::string_view name) {
  constexpr std::array kLeftovers = {"weight_scale_inv", "weight_scale", "input_scale"};
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return std::find(kLeftovers.begin(), kLeftovers.end(), last) != kLeftovers.end();
}

int64_t integer(const Json& value, std::string_view key, const std::string& name) {
  const auto number = json_integer(value, 0, int64_t{1} << 40);
  if (!number) {
    fail(ErrorCode::kCorrupt, "{}: \"{}\" must be an integer from 0 to 2^40, is {}", name, key,
         json_for_message(value));
  }
  return *number;
}

int64_t integer_or(const Json& json, const char* key, int64_t fallback, const std::string& name) {
  const auto at = json.find(key);
  return at == json.end() || at->is_null() ? fallback : integer(*at, key, name);
}

class ReferenceCheckpoint : public SafetensorsCheckpoint {
 public:
  ReferenceCheckpoint(const fs::path& folder, ReferenceConfig reference, const OpenOptions& options)
      : SafetensorsCheckpoint(CheckpointKind::kReference, folder, options),
        reference_(std::move(reference)) {
    made_from_ = reference_.original;
    std::vector<TensorEntry> entries;
    std::vector<const StoredTensor*> stored;
    for (const StoredTensor& plane : set().tensors()) {
      const std::string_view name = plane.name();
      if (is_leftover(name)) continue;
      if (name.ends_with(kNorms)) {
        need_plane(without(name, kNorms), kPackedPlane, plane);
        continue;
      }
      auto packed = std::make_unique<Packed>();
      if (name.ends_with(kPackedPlane)) {
        entries.push_back(open_packed(plane, *packed));
      } else {
        entries.push_back(plain_entry(plane));
        packed.reset();
      }
      packed_.push_back(std::move(packed));
      stored.push_back(&plane);
    }
    set_contents(std::move(entries), std::move(stored));
    if (n_unresolved_ > 0) {
      warn(
          "{}: the config does not tell the unpadded width of {} tensors (the first is {}); they "
          "are taken as unpadded",
          folder.string(), n_unresolved_, first_unresolved_);
    }
  }

  void read_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    const Packed* packed = packed_of(tensor);
    if (packed == nullptr) return SafetensorsCheckpoint::read_rows(tensor, row_begin, n_rows, out);
    check_rows(tensor, row_begin, n_rows);
    const WeightView& view = packed->view;
    std::vector<float> x(static_cast<size_t>(view.in_padded));
    std::vector<uint8_t> codes(static_cast<size_t>(view.code_row_bytes()));
    std::vector<float> norms(static_cast<size_t>(view.gains_per_row()));
    // Decoded with gains of one: the exact norms come after the rotation, as in the reference
    // library.
    const std::vector<uint16_t> ones(norms.size(), kOneF16);
    for (int64_t row = row_begin; row < row_begin + n_rows; ++row, out += view.in) {
      stored(tensor).read(static_cast<uint64_t>(row) * codes.size(), codes);
      read_norms(*packed, row, norms);
      view.traits().decode_row(codes.data(), ones.data(), view.in_padded, view.group, x.data());
      unrotate_row(*packed, norms, x.data());
      std::copy_n(x.data(), view.in, out);
    }
  }

  void read_plane(const TensorEntry& tensor, size_t plane, int64_t offset,
                  std::span<uint8_t> out) const override {
    if (plane > 0) return SafetensorsCheckpoint::read_plane(tensor, plane, offset, out);
    stored(tensor).read(static_cast<uint64_t>(offset), out);
  }

  std::optional<WeightView> view(const TensorEntry& tensor) const override {
    const Packed* packed = packed_of(tensor);
    if (packed == nullptr) return SafetensorsCheckpoint::view(tensor);
    std::call_once(packed->once, [&] { convert_gains(*packed); });
    if (packed->gains.empty()) return std::nullopt;
    WeightView view = packed->view;
    view.gains = packed->gains.as<uint16_t>().data();
    return view;
  }

  void drop_rows(const TensorEntry& tensor, int64_t row_begin, int64_t n_rows) const override {
    SafetensorsCheckpoint::drop_rows(tensor, row_begin, n_rows);
    if (const Packed* packed = packed_of(tensor)) {
      drop_plane_rows(*packed->norms, tensor, row_begin, n_rows);
    }
  }

 private:
  struct Packed {
    const StoredTensor* norms = nullptr;
    WeightView view;  // without gains: the file has them in fp32
    mutable std::once_flag once;
    mutable Buffer gains;  // f16, made by the first view(); empty when fp16 cannot hold them
  };

  const Packed* packed_of(const TensorEntry& tensor) const {
    return packed_[static_cast<size_t>(tensor.index)].get();
  }

  template <typename... Args>
  [[noreturn]] void wrong(ErrorCode code, std::string_view name, fmt::format_string<Args...> format,
                          Args&&... args) const {
    fail(code, "{}: tensor \"{}\": {}", path().string(), name,
         fmt::format(format, std::forward<Args>(args)...));
  }

  const StoredTensor& need_plane(std::string_view base, std::string_view suffix,
                                 const StoredTensor& partner) const {
    const StoredTensor* plane = set().find(std::string(base) + std::string(suffix));
    if (plane == nullptr) {
      wrong(ErrorCode::kCorrupt, partner.name(), "there is no {}{}", base, suffix);
    }
    return *plane;
  }

  // Fills `packed` from the pair of planes and returns the logical tensor.
  TensorEntry open_packed(const StoredTensor& codes, Packed& packed) {
    const std::string_view base = without(codes.name(), kPackedPlane);
    const StoredTensor& norms = need_plane(base, kNorms, codes);
    if (codes.entry->dtype != DType::kU8 || norms.entry->dtype != DType::kF32) {
      wrong(ErrorCode::kUnsupported, base,
            "packed as {} with norms in {}: turboquant-vllm has U8 and F32, this is another format "
            "of the same suffix",
            dtype_info(codes.entry->dtype).name, dtype_info(norms.entry->dtype).name);
    }
    packed.norms = &norms;
    packed.view = geometry(base, codes, norms);

    const bool stack =
        packed.view.experts > 1 || norms.entry->shape.size() == 3 || is_expert_stack(base);
    TensorEntry entry;
    entry.name = std::string(base);
    if (!stack && !base.ends_with(kWeight)) entry.name += kWeight;  // some files dropped it
    if (stack) entry.shape.push_back(packed.view.experts);
    entry.shape.push_back(packed.view.rows);
    entry.shape.push_back(packed.view.in);
    entry.storage = packed.view.traits().name;
    entry.stored_bytes = static_cast<int64_t>(codes.entry->size_bytes + norms.entry->size_bytes);
    return entry;
  }

  WeightView geometry(std::string_view base, const StoredTensor& codes, const StoredTensor& norms) {
    const Shape& shape = norms.entry->shape;  // [rows, groups], or [experts, rows, groups]
    const int64_t n_norms = static_cast<int64_t>(norms.entry->size_bytes / 4);
    const int64_t n_codes = static_cast<int64_t>(codes.entry->size_bytes);
    const int64_t group = reference_.group;
    if ((shape.size() != 2 && shape.size() != 3) || n_norms == 0) {
      wrong(ErrorCode::kCorrupt, base, "norms are {}, must be [rows, groups]", shape_string(shape));
    }
    const int64_t groups = shape.back();
    const int64_t n_rows = n_norms / groups;
    const int64_t group_bytes = n_codes / n_norms;
    const int64_t bits = group_bytes * 8 / group;
    const int64_t code_row = codes.entry->shape.empty() ? 0 : codes.entry->shape.back();
    if (bits < 2 || bits > 4 || group_bytes * n_norms != n_codes ||
        bits * group != 8 * group_bytes ||
        (code_row != group_bytes && code_row != groups * group_bytes)) {
      wrong(ErrorCode::kCorrupt, base,
            "codes {} do not go with norms {} at 2, 3 or 4 bits in groups of {}",
            shape_string(codes.entry->shape), shape_string(shape), group);
    }
    WeightView view;
    view.format = find_format(fmt::format("tq{}", bits))->id;
    view.group = reference_.group;
    view.in_padded = groups * group;
    view.in = input_width(base, view.in_padded);
    view.experts = expert_count(base, shape, n_rows);
    view.rows = n_rows / view.experts;
    view.codes = codes.bytes().data();
    return view;
  }

  int64_t expert_count(std::string_view base, const Shape& norms, int64_t n_rows) const {
    if (norms.size() == 3) return norms[0];
    if (!is_expert_stack(base)) return 1;
    const auto experts = reference_expert_count(config());
    if (!experts) {
      wrong(ErrorCode::kUnsupported, base,
            "a stack of experts, and config.json does not say how many (num_experts)");
    }
    if (n_rows % *experts != 0) {
      wrong(ErrorCode::kCorrupt, base, "{} rows cannot be those of {} experts", n_rows, *experts);
    }
    return *experts;
  }

  // The unpadded width: stated by the file, deduced from the config, or else the padded one.
  int64_t input_width(std::string_view base, int64_t padded) {
    const std::string_view stem = without(base, kWeight);
    for (const std::string& key :
         {std::string(base), std::string(stem), fmt::format("{}.weight", stem)}) {
      const auto at = reference_.in_widths.find(key);
      if (at == reference_.in_widths.end()) continue;
      if (at->second > padded || at->second <= padded - reference_.group) {
        wrong(ErrorCode::kCorrupt, base, "orig_in_dims says {}, stored are {}", at->second, padded);
      }
      return at->second;
    }
    if (const auto width = reference_input_width(config(), base, padded, reference_.group)) {
      return *width;
    }
    if (n_unresolved_++ == 0) first_unresolved_ = base;
    return padded;
  }

  // As many as there is room for, from those of a row on.
  static void read_norms(const Packed& packed, int64_t row, std::span<float> norms) {
    const int64_t row_bytes = packed.view.gains_per_row() * int64_t{sizeof(float)};
    packed.norms->read(static_cast<uint64_t>(row * row_bytes),
                       {reinterpret_cast<uint8_t*>(norms.data()), norms.size_bytes()});
  }

  static void unrotate_row(const Packed& packed, const std::vector<float>& norms, float* x) {
    const int group = packed.view.group;
    for (const float norm : norms) {
      unrotate_group(x, group);
      for (int i = 0; i < group; ++i) x[i] *= norm;
      x += group;
    }
  }

  static void convert_gains(const Packed& packed) {
    constexpr int64_t kRows = 1024;  // at a time
    const int64_t n_rows = packed.view.experts * packed.view.rows;
    const int64_t row_norms = packed.view.gains_per_row();
    Buffer gains(static_cast<size_t>(n_rows * row_norms) * 2);
    auto out = gains.as<uint16_t>().begin();
    std::vector<float> norms;
    for (int64_t row = 0; row < n_rows; row += kRows) {
      norms.resize(static_cast<size_t>(std::min(kRows, n_rows - row) * row_norms));
      read_norms(packed, row, norms);
      for (const float norm : norms) {
        const uint16_t gain = f32_to_f16(norm);
        if (!std::isfinite(f16_to_f32(gain))) return;
        *out++ = gain;
      }
    }
    packed.gains = std::move(gains);
  }

  ReferenceConfig reference_;
  std::vector<std::unique_ptr<Packed>> packed_;  // parallel to tensors(), null for plain ones
  int64_t n_unresolved_ = 0;
  std::string first_unresolved_;
};

void check_known_keys(const Json& json, const std::string& name) {
  constexpr std::array kKnown = {
      "format",         "bits",           "group_size",   "quantizer_seed",     "compressed_layers",
      "original_model", "sensitive_bits", "orig_in_dims", "sensitive_patterns", "quant_method",
  };
  for (const auto& [key, value] : json.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      warn("{}: unknown key \"{}\" is ignored", name, key);
    }
  }
}

}  // namespace

ReferenceConfig ReferenceConfig::from_json(const Json& json, const std::string& name) {
  if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: must be a JSON object", name);
  const std::string format = json.contains("format") ? json["format"].dump() : "\"tq3_native\"";
  if (!format.starts_with("\"tq") || !format.ends_with("_native\"")) {
    fail(ErrorCode::kUnsupported, "{}: format is {}, only \"tq3_native\" and its like can be read",
         name, format);
  }
  const int64_t seed = integer_or(json, "quantizer_seed", kRotationSeed, name);
  if (seed != kRotationSeed) {
    fail(ErrorCode::kUnsupported, "{}: quantizer_seed {}: only {} is supported", name, seed,
         kRotationSeed);
  }
  ReferenceConfig config;
  const int64_t group = integer_or(json, "group_size", config.group, name);
  if (group != 32 && group != 64 && group != 128 && group != 256) {
    fail(ErrorCode::kUnsupported, "{}: group_size {}: only 32, 64, 128 and 256 are supported", name,
         group);
  }
  config.group = static_cast<int>(group);
  if (const auto dims = json.find("orig_in_dims"); dims != json.end() && !dims->is_null()) {
    if (!dims->is_object()) fail(ErrorCode::kCorrupt, "{}: orig_in_dims must be an object", name);
    for (const auto& [tensor, width] : dims->items()) {
      config.in_widths[tensor] = integer(width, tensor, name);
    }
  }
  config.original = name_to_show(json, "original_model");
  check_known_keys(json, name);
  return config;
}

std::unique_ptr<Checkpoint> open_reference_checkpoint(const fs::path& folder,
                                                      ReferenceConfig reference,
                                                      const OpenOptions& options) {
  return std::make_unique<ReferenceCheckpoint>(folder, std::move(reference), options);
}

}  // namespace tq
