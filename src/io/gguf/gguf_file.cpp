#include "io/gguf/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/math.h"
#include "io/file_kind.h"
#include "io/gguf/gguf_dequant.h"

namespace tq {
namespace {

// Value types of the file format.
enum ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Name and size of a value type, by its number. Strings and arrays have no fixed size (0).
struct ValueTypeInfo {
  std::string_view name;
  uint64_t bytes;
};
constexpr ValueTypeInfo kValueTypes[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

// The least bytes an entry takes: a one-letter key and a one-byte value; a one-letter name and one
// dimension. Counts are refused against the file's size before anything is allocated for them.
constexpr uint64_t kMinValueBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint64_t kMaxEntries = uint64_t{1} << 20;
constexpr uint64_t kMaxNameBytes = 65535;
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;

template <typename T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

bool is_integer(uint32_t type) { return type <= kI32 || type == kU64 || type == kI64; }

// The integer at bytes, or nothing when it does not fit. Booleans count as 0 and 1.
std::optional<int64_t> load_integer(uint32_t type, const uint8_t* bytes) {
  switch (type) {
    case kU8:
    case kBool:
      return *bytes;
    case kI8:
      return load<int8_t>(bytes);
    case kU16:
      return load<uint16_t>(bytes);
    case kI16:
      return load<int16_t>(bytes);
    case kU32:
      return load<uint32_t>(bytes);
    case kI32:
      return load<int32_t>(bytes);
    case kI64:
      return load<int64_t>(bytes);
    default: {  // kU64
      const uint64_t value = load<uint64_t>(bytes);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
  }
}

// The text whose length word is at bytes; checked when the file was opened.
std::string_view load_string(const uint8_t* bytes) {
  return {reinterpret_cast<const char*>(bytes + 8), load<uint64_t>(bytes)};
}

}  // namespace

// Walks the file once, front to back.
class GgufFile::Parser {
 public:
  explicit Parser(GgufFile& file) : file_(file) {}

  void run() {
    const auto [n_tensors, n_values] = header();
    file_.values_.reserve(n_values);
    for (uint64_t i = 0; i < n_values; ++i) value();
    sort_values();
    file_.tensors_.reserve(n_tensors);
    for (uint64_t i = 0; i < n_tensors; ++i) tensor();
    place_tensors();
  }

 private:
  template <typename... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}: {}", file_.name_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  uint64_t remaining() const { return file_.bytes_.size() - position_; }
  const uint8_t* take(uint64_t n_bytes, std::string_view what) {
    if (n_bytes > remaining()) {
      corrupt("the file ends inside {} ({} bytes needed at offset {}, {} left)", what, n_bytes,
              position_, remaining());
    }
    const uint8_t* bytes = file_.bytes_.data() + position_;
    position_ += n_bytes;
    return bytes;
  }
  template <typename T>
  T take(std::string_view what) {
    return load<T>(take(sizeof(T), what));
  }

  // Keys and tensor names: printable ASCII, so that they can be shown and written anywhere.
  std::string_view name(std::string_view what) {
    const uint64_t length = take<uint64_t>(what);
    if (length == 0 || length > kMaxNameBytes) {
      corrupt("{} of {} bytes at offset {}; 1 to {} are allowed", what, length, position_ - 8,
              kMaxNameBytes);
    }
    const std::string_view text(reinterpret_cast<const char*>(take(length, what)), length);
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
      corrupt("{} at offset {} is not printable ASCII", what, position_ - length);
    }
    return text;
  }

  // Returns the numbers of tensors and of metadata values.
  std::pair<uint64_t, uint64_t> header() {
    if (file_.bytes_.size() < 4 || std::memcmp(file_.bytes_.data(), "GGUF", 4) != 0) {
      corrupt("not a GGUF file: it does not begin with \"GGUF\"");
    }
    position_ = 4;
    const uint32_t version = take<uint32_t>("the header");
    if (version != 0 && (version & 0xffffu) == 0) {
      fail(ErrorCode::kUnsupported, "{}: a big-endian GGUF file; convert it to little-endian",
           file_.name_);
    }
    if (version != 2 && version != 3) {
      fail(ErrorCode::kUnsupported, "{}: GGUF version {}; versions 2 and 3 are read", file_.name_,
           version);
    }
    const uint64_t n_tensors = take<uint64_t>("the header");
    const uint64_t n_values = take<uint64_t>("the header");
    check_count(n_values, kMinValueBytes, "metadata values");
    check_count(n_tensors, kMinTensorBytes, "tensors");
    return {n_tensors, n_values};
  }

  void check_count(uint64_t count, uint64_t min_bytes, std::string_view what) const {
    const uint64_t limit = std::min(kMaxEntries, remaining() / min_bytes);
    if (count > limit) {
      corrupt("declares {} {}, but a file of {} bytes holds at most {}", count, what,
              file_.bytes_.size(), limit);
    }
  }

  void value() {
    Value value{};
    value.key = name("a metadata key");
    value.type = take<uint32_t>("a metadata value");
    if (value.type != kArray) {
      value.offset = position_;
      elements(value.key, value.type, 1);
    } else {
      value.element_type = take<uint32_t>("a metadata array");
      value.count = take<uint64_t>("a metadata array");
      value.offset = position_;
      if (value.element_type == kArray) {
        fail(ErrorCode::kUnsupported,
             "{}: metadata key {} is an array of arrays, which is not read", file_.name_,
             value.key);
      }
      elements(value.key, value.element_type, value.count);
    }
    file_.values_.push_back(value);
  }

  // Steps over `count` values of a type other than array.
  void elements(std::string_view key, uint32_t type, uint64_t count) {
    if (type >= std::size(kValueTypes)) {
      corrupt("metadata key {} has value type {}, which does not exist", key, type);
    }
    const uint64_t bytes = type == kString ? 8 : kValueTypes[type].bytes;
    if (count > remaining() / bytes) {
      corrupt("metadata key {} has {} elements, more than the file holds", key, count);
    }
    if (type == kString) {
      for (uint64_t i = 0; i < count; ++i) take(take<uint64_t>(key), key);
      return;
    }
    const uint8_t* data = take(count * bytes, key);
    if (type == kBool && std::any_of(data, data + count, [](uint8_t b) { return b > 1; })) {
      corrupt("metadata key {} has a boolean that is neither 0 nor 1", key);
    }
  }

  void sort_values() {
    auto& values = file_.values_;
    std::sort(values.begin(), values.end(),
              [](const Value& a, const Value& b) { return a.key < b.key; });
    const auto twice =
        std::adjacent_find(values.begin(), values.end(),
                           [](const Value& a, const Value& b) { return a.key == b.key; });
    if (twice != values.end()) corrupt("duplicate metadata key {}", twice->key);
  }

  // Reads one directory entry; its offset is still relative to the data section.
  void tensor() {
    GgufTensor tensor;
    tensor.name = name("a tensor name");
    const uint32_t n_dims = take<uint32_t>("the tensor directory");
    if (n_dims == 0 || n_dims > kMaxDims) {
      corrupt("tensor {} has {} dimensions; 1 to {} are allowed", tensor.name, n_dims, kMaxDims);
    }
    for (uint32_t i = 0; i < n_dims; ++i) {
      const int64_t dim = take<int64_t>("the tensor directory");
      if (dim <= 0) corrupt("tensor {} has a dimension of {}", tensor.name, dim);
      tensor.shape.insert(tensor.shape.begin(), dim);
    }
    const uint32_t type = take<uint32_t>("the tensor directory");
    const std::optional<GgmlLayout> layout = find_ggml_layout(type);
    if (!layout) {
      fail(ErrorCode::kUnsupported, "{}: tensor {} has ggml type {}, which is not read",
           file_.name_, tensor.name, ggml_type_label(type));
    }
    tensor.type = static_cast<GgmlType>(type);
    tensor.size_bytes = tensor_bytes(tensor, *layout);
    tensor.offset = take<uint64_t>("the tensor directory");
    file_.tensors_.push_back(std::move(tensor));
  }

  uint64_t tensor_bytes(const GgufTensor& tensor, const GgmlLayout& info) const {
    if (tensor.shape.back() % info.block_weights != 0) {
      corrupt("tensor {} has rows of {} weights, no multiple of the {} of a {} block", tensor.name,
              tensor.shape.back(), info.block_weights, info.name);
    }
    const auto weights = checked_product(tensor.shape);
    const auto bytes =
        weights ? checked_mul(*weights / info.block_weights, info.block_bytes) : std::nullopt;
    if (!bytes)
      corrupt("tensor {} has an impossible size {}", tensor.name, shape_string(tensor.shape));
    return static_cast<uint64_t>(*bytes);
  }

  uint64_t alignment() const {
    const auto value = file_.integer("general.alignment");
    const auto alignment = static_cast<uint64_t>(value.value_or(32));
    if (alignment < 8 || alignment > kMaxAlignment || (alignment & (alignment - 1)) != 0) {
      corrupt("general.alignment is {}; it must be a power of two from 8 to {}", *value,
              kMaxAlignment);
    }
    return alignment;
  }

  // Makes the offsets absolute and checks that every tensor lies in the file, aligned and alone.
  void place_tensors() {
    auto& tensors = file_.tensors_;
    if (tensors.empty()) return;
    check_tensor_names();
    const uint64_t align = alignment();
    const uint64_t data_begin = (position_ + align - 1) / align * align;
    const uint64_t size = file_.bytes_.size();
    for (GgufTensor& tensor : tensors) {
      if (tensor.offset % align != 0) {
        corrupt("tensor {} begins at offset {}, no multiple of the alignment {}", tensor.name,
                tensor.offset, align);
      }
      if (data_begin > size || tensor.offset > size - data_begin ||
          tensor.size_bytes > size - data_begin - tensor.offset) {
        corrupt(
            "tensor {} ({} bytes at offset {} of the data) reaches beyond the file's {} bytes; "
            "is the file incomplete?",
            tensor.name, tensor.size_bytes, tensor.offset, size);
      }
      tensor.offset += data_begin;
    }
    std::sort(tensors.begin(), tensors.end(),
              [](const GgufTensor& a, const GgufTensor& b) { return a.offset < b.offset; });
    for (size_t i = 1; i < tensors.size(); ++i) {
      if (tensors[i - 1].offset + tensors[i - 1].size_bytes > tensors[i].offset) {
        corrupt("tensors {} and {} overlap", tensors[i - 1].name, tensors[i].name);
      }
    }
  }

  void check_tensor_names() const {
    std::vector<std::string_view> names;
    for (const GgufTensor& tensor : file_.tensors_) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) corrupt("duplicate tensor {}", *twice);
  }

  GgufFile& file_;
  uint64_t position_ = 0;
};

GgufFile::GgufFile(const fs::path& path)
    : file_(path), name_(path.string()), bytes_(file_.bytes()) {
  refuse_foreign_weights(bytes_, path);
  parse();
}

GgufFile::GgufFile(std::span<const uint8_t> bytes, std::string name)
    : name_(std::move(name)), bytes_(bytes) {
  parse();
}

void GgufFile::parse() {
  Parser(*this).run();
  sort_names();
}

void GgufFile::read(const GgufTensor& tensor, uint64_t offset, std::span<uint8_t> out) const {
  const MappedFile& file = part(tensor.part).file_;
  if (file.bytes().empty()) {
    std::memcpy(out.data(), tensor_bytes(tensor).subspan(offset, out.size()).data(), out.size());
  } else {
    file.read_at(tensor.offset + offset, out);
  }
}

void GgufFile::add_part(GgufFile part) {
  for (const GgufTensor& tensor : part.tensors_) {
    if (find_tensor(tensor.name) != nullptr) {
      fail(ErrorCode::kCorrupt, "{}: an earlier part of the model has a tensor {} too", part.name_,
           tensor.name);
    }
  }
  for (const GgufTensor& tensor : part.tensors_) {
    tensors_.push_back(tensor);
    tensors_.back().part = n_parts();
  }
  parts_.push_back(std::move(part));
  sort_names();
}

void GgufFile::sort_names() {
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](size_t a, size_t b) { return tensors_[a].name < tensors_[b].name; });
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](size_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
  return found != by_name_.end() && tensors_[*found].name == name ? &tensors_[*found] : nullptr;
}

const GgufFile::Value* GgufFile::find(std::string_view key) const {
  const auto found =
      std::lower_bound(values_.begin(), values_.end(), key,
                       [](const Value& value, std::string_view k) { return value.key < k; });
  return found != values_.end() && found->key == key ? &*found : nullptr;
}

bool GgufFile::is_array(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr && value->type == kArray;
}

void GgufFile::fail_type(const Value& value, std::string_view wanted) const {
  const bool array = value.type == kArray;
  fail(ErrorCode::kCorrupt, "{}: metadata key {} is {}{}, not {}", name_, value.key,
       array ? "an array of " : "of type ",
       kValueTypes[array ? value.element_type : value.type].name, wanted);
}

std::optional<std::string_view> GgufFile::string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kString) fail_type(*value, "a string");
  return load_string(bytes_.data() + value->offset);
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->type)) fail_type(*value, "an integer");
  const auto result = load_integer(value->type, bytes_.data() + value->offset);
  if (!result) fail_type(*value, "an integer that fits 63 bits");
  return result;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  const uint8_t* bytes = bytes_.data() + value->offset;
  if (value->type == kF32) return load<float>(bytes);
  if (value->type == kF64) return load<double>(bytes);
  if (!is_integer(value->type)) fail_type(*value, "a number");
  return static_cast<double>(*integer(key));
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kBool) fail_type(*value, "a boolean");
  return bytes_[value->offset] != 0;
}

std::optional<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kArray || value->element_type != kString) {
    fail_type(*value, "an array of strings");
  }
  std::vector<std::string_view> out;
  out.reserve(value->count);
  const uint8_t* bytes = bytes_.data() + value->offset;
  for (uint64_t i = 0; i < value->count; ++i) {
    out.push_back(load_string(bytes));
    bytes += 8 + out.back().size();
  }
  return out;
}

std::optional<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  const uint32_t type = value->element_type;
  if (value->type != kArray || !(is_integer(type) || type == kBool)) {
    fail_type(*value, "an array of integers");
  }
  std::vector<int64_t> out;
  out.reserve(value->count);
  const uint8_t* bytes = bytes_.data() + value->offset;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto element = load_integer(type, bytes + i * kValueTypes[type].bytes);
    if (!element) fail_type(*value, "an array of integers that fit 63 bits");
    out.push_back(*element);
  }
  return out;
}

std::optional<std::vector<float>> GgufFile::floats(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kArray || value->element_type != kF32) {
    fail_type(*value, "an array of f32");
  }
  std::vector<float> out(value->count);
  if (!out.empty()) {
    std::memcpy(out.data(), bytes_.data() + value->offset, out.size() * sizeof(float));
  }
  return out;
}

std::vector<std::string_view> GgufFile::keys() const {
  std::vector<std::string_view> out;
  out.reserve(values_.size());
  for (const Value& value : values_) out.push_back(value.key);
  return out;
}

}  // namespace tq
