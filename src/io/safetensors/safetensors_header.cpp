#include "io/safetensors/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/math.h"

namespace tq {
namespace {

constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxDims = 16;
constexpr size_t kMaxMetadata = 65536;

bool is_printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// Reads the header as a stream of JSON events, so that no document is ever built. The grammar is
// fixed: {"__metadata__": {name: string}, name: {"dtype", "shape", "data_offsets"}}.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& file, uint64_t data_begin, uint64_t data_bytes)
      : file_(file), data_begin_(data_begin), data_bytes_(data_bytes) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(text); }
  bool number_integer(number_integer_t value) override { unexpected(std::to_string(value)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) {
      if (value > INT64_MAX) broken("dimension {} is out of range", value);
      if (entry_.shape.size() == kMaxDims) broken("more than {} dimensions", kMaxDims);
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else if (state_ == State::kOffsets) {
      if (n_offsets_ == 2) broken("data_offsets has more than two numbers");
      offsets_[n_offsets_++] = value;
    } else {
      unexpected(std::to_string(value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      header_.metadata[metadata_key_] = std::move(value);
      return true;
    }
    if (state_ != State::kEntry || field_ != Field::kDtype) unexpected("a string");
    const auto dtype = dtype_from_name(value);
    if (!dtype) {
      fail(ErrorCode::kUnsupported, "{}: tensor \"{}\": unknown dtype \"{}\"", file_, entry_.name,
           printable(value));
    }
    entry_.dtype = *dtype;
    field_ = Field::kNone;
    return true;
  }

  bool start_object(size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kRoot;
    } else if (state_ == State::kRootKey) {
      state_ = entry_.name == "__metadata__" ? State::kMetadata : State::kEntry;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    if (state_ == State::kRoot) {
      begin_entry(value);
    } else if (state_ == State::kMetadata) {
      begin_metadata(value);
    } else {
      begin_field(value);
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::kEntry) {
      finish_entry();
      state_ = State::kRoot;
    } else if (state_ == State::kMetadata) {
      state_ = State::kRoot;
    }
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kEntry && field_ == Field::kShape) {
      state_ = State::kShape;
    } else if (state_ == State::kEntry && field_ == Field::kOffsets) {
      state_ = State::kOffsets;
    } else {
      unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    if (state_ == State::kOffsets && n_offsets_ != 2) broken("data_offsets needs two numbers");
    state_ = State::kEntry;
    field_ = Field::kNone;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    fail(ErrorCode::kCorrupt, "{}: safetensors header is not valid JSON: {}", file_, e.what());
  }

 private:
  enum class State { kStart, kRoot, kRootKey, kMetadata, kEntry, kShape, kOffsets };
  enum class Field { kNone, kDtype, kShape, kOffsets };

  // A piece of the file that is fit for a message.
  static std::string printable(std::string_view text) {
    constexpr size_t kShown = 100;
    std::string out(text.substr(0, kShown));
    for (char& c : out) {
      if (!is_printable({&c, 1})) c = '?';
    }
    return text.size() > kShown ? out + "..." : out;
  }

  template <typename... Args>
  [[noreturn]] void broken(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\": {}", file_, printable(entry_.name),
         fmt::format(format, std::forward<Args>(args)...));
  }

  [[noreturn]] void unexpected(std::string_view what) const {
    if (state_ == State::kStart || state_ == State::kRoot) {
      fail(ErrorCode::kCorrupt, "{}: safetensors header must be a JSON object, found {}", file_,
           printable(what));
    }
    broken("unexpected {} in its header entry", printable(what));
  }

  void begin_entry(std::string& name) {
    if (name.empty() || name.size() > kMaxNameBytes || !is_printable(name)) {
      fail(ErrorCode::kCorrupt,
           "{}: tensor name \"{}\" is empty, longer than {} bytes or not printable", file_,
           printable(name), kMaxNameBytes);
    }
    if (name == "__metadata__" && std::exchange(seen_metadata_, true)) {
      fail(ErrorCode::kCorrupt, "{}: duplicate key \"__metadata__\"", file_);
    }
    entry_ = {};
    entry_.name = std::move(name);
    n_offsets_ = 0;
    seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    state_ = State::kRootKey;
  }

  void begin_metadata(std::string& key) {
    if (header_.metadata.size() == kMaxMetadata) broken("more than {} keys", kMaxMetadata);
    if (header_.metadata.count(key) != 0) broken("duplicate key \"{}\"", printable(key));
    metadata_key_ = std::move(key);
    header_.metadata[metadata_key_];  // so that a key is seen even before its value
  }

  void begin_field(const std::string& key) {
    const auto open = [&](Field field, bool& seen) {
      if (std::exchange(seen, true)) broken("duplicate key \"{}\"", key);
      field_ = field;
    };
    if (key == "dtype") return open(Field::kDtype, seen_dtype_);
    if (key == "shape") return open(Field::kShape, seen_shape_);
    if (key == "data_offsets") return open(Field::kOffsets, seen_offsets_);
    broken("unknown key \"{}\"", printable(key));
  }

  void finish_entry() {
    if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) {
      broken("needs dtype, shape and data_offsets");
    }
    const uint64_t begin = offsets_[0];
    const uint64_t end = offsets_[1];
    if (begin > end) broken("data_offsets [{}, {}] run backwards", begin, end);
    if (end > data_bytes_) {
      broken("its data ends at byte {} of {}: the file is truncated or lies", end, data_bytes_);
    }
    const auto elements = checked_product(entry_.shape);
    const auto bytes =
        elements ? checked_mul(*elements, dtype_info(entry_.dtype).bytes) : std::nullopt;
    if (!bytes) broken("shape {} overflows", shape_string(entry_.shape));
    if (static_cast<uint64_t>(*bytes) != end - begin) {
      broken("{} {} takes {} bytes, its data_offsets [{}, {}] span {}",
             dtype_info(entry_.dtype).name, shape_string(entry_.shape), *bytes, begin, end,
             end - begin);
    }
    if (header_.entries.size() == kMaxSafetensorsTensors) {
      broken("more than {} tensors in one file", kMaxSafetensorsTensors);
    }
    entry_.offset = data_begin_ + begin;
    entry_.size_bytes = end - begin;
    header_.entries.push_back(std::move(entry_));
  }

  const std::string& file_;
  const uint64_t data_begin_;
  const uint64_t data_bytes_;
  SafetensorsHeader header_;
  State state_ = State::kStart;
  Field field_ = Field::kNone;
  SafetensorsEntry entry_;  // the one being read
  uint64_t offsets_[2] = {0, 0};
  int n_offsets_ = 0;
  bool seen_dtype_ = false;
  bool seen_shape_ = false;
  bool seen_offsets_ = false;
  bool seen_metadata_ = false;
  std::string metadata_key_;
};

void check_unique(const std::vector<SafetensorsEntry>& entries, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    fail(ErrorCode::kCorrupt, "{}: duplicate tensor \"{}\"", file, *twice);
  }
}

// Entries are sorted by offset: each must begin where the one before it ends.
void check_tiling(const std::vector<SafetensorsEntry>& entries, uint64_t begin, uint64_t end,
                  const std::string& file) {
  uint64_t expected = begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.offset != expected) {
      fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" begins at byte {} of the file, {} {}", file,
           entry.name, entry.offset,
           entry.offset < expected ? "overlapping the one before it, which ends at"
                                   : "leaving a hole after byte",
           expected);
    }
    expected += entry.size_bytes;
  }
  if (expected != end) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes after the last tensor belong to none", file,
         end - expected);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const uint8_t> file, const std::string& name) {
  uint64_t length = 0;
  if (file.size() < kLengthBytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes are too few for a safetensors file", name, file.size());
  }
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kCorrupt,
         "{}: not a safetensors file: its header claims {} bytes, more than the {} allowed", name,
         length, kMaxSafetensorsHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    fail(ErrorCode::kCorrupt, "{}: truncated: a header of {} bytes in a file of {}", name, length,
         file.size());
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  // The JSON library would skip a byte order mark and stop at a NUL.
  if (text.empty() || text.front() != '{' || text.find('\0') != std::string_view::npos) {
    fail(ErrorCode::kCorrupt, "{}: safetensors header must be a JSON object and nothing else",
         name);
  }
  HeaderReader reader(name, kLengthBytes + length, file.size() - kLengthBytes - length);
  nlohmann::json::sax_parse(text, &reader);
  SafetensorsHeader header = reader.take();
  check_unique(header.entries, name);
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.offset, a.size_bytes) < std::pair(b.offset, b.size_bytes);
  });
  check_tiling(header.entries, kLengthBytes + length, file.size(), name);
  return header;
}

}  // namespace tq
