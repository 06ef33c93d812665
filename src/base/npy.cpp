#include "base/npy.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/math.h"

namespace tq {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie");

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct Header {
  std::string dtype;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  size_t data_offset = 0;
};

// The header is a Python dict literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const fs::path& path) : text_(text), path_(path) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        header.dtype = string();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        corrupt("an unknown key");
      }
      accept(',');
    }
    return header;
  }

 private:
  [[noreturn]] void corrupt(std::string_view what) const {
    fail(ErrorCode::kCorrupt, "{}: not a .npy file: {} in the header", path_.string(), what);
  }
  bool accept(char c) {
    while (!text_.empty() && text_.front() == ' ') text_.remove_prefix(1);
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) corrupt(fmt::format("no '{}'", c));
  }
  bool accept_word(std::string_view word) {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  std::string string() {
    expect('\'');
    const size_t end = text_.find('\'');
    if (end == std::string_view::npos) corrupt("an open string");
    const std::string value(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return value;
  }
  bool boolean() {
    while (accept_word(" ")) {
    }
    if (accept_word("True")) return true;
    if (!accept_word("False")) corrupt("no True or False");
    return false;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> values;
    expect('(');
    while (!accept(')')) {
      if (values.size() == 32) corrupt("more than 32 dimensions");
      values.push_back(integer());
      accept(',');
    }
    return values;
  }
  int64_t integer() {
    int64_t value = 0;
    size_t digits = 0;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; ++digits) {
      if (digits == 18) corrupt("a huge dimension");
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    if (digits == 0) corrupt("no number");
    return value;
  }

  std::string_view text_;
  const fs::path& path_;
};

Header read_header(const MappedFile& file) {
  const auto bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto corrupt = [&](const char* what) {
    fail(ErrorCode::kCorrupt, "{}: not a .npy file: {}", file.path().string(), what);
  };
  if (!text.starts_with(kMagic) || text.size() < 12) corrupt("no magic string");
  const uint8_t version = bytes[6];
  if (version < 1 || version > 3) corrupt("unknown version");
  const size_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  const size_t begin = 8 + length_bytes;
  if (length > text.size() - begin) corrupt("the header is cut off");
  Header header = HeaderParser(text.substr(begin, length), file.path()).parse();
  header.data_offset = begin + length;
  return header;
}

// Checks dtype, order and size; the elements start at header.data_offset.
int64_t check_elements(const MappedFile& file, const Header& header, int element_bytes) {
  const std::string name = file.path().string();
  if (header.fortran_order && header.shape.size() > 1) {
    fail(ErrorCode::kUnsupported, "{}: the array is in Fortran order; save it in C order", name);
  }
  const auto n = checked_product(header.shape);
  const auto size = n ? checked_mul(*n, element_bytes) : std::nullopt;
  const auto available = static_cast<int64_t>(file.bytes().size() - header.data_offset);
  if (!size || *size != available) {
    fail(ErrorCode::kCorrupt, "{}: the shape asks for {} bytes, the file holds {}", name,
         size ? std::to_string(*size) : "too many", available);
  }
  return *n;
}

template <typename T>
std::vector<T> copy_elements(const MappedFile& file, const Header& header) {
  std::vector<T> out(static_cast<size_t>(check_elements(file, header, sizeof(T))));
  if (!out.empty()) {
    std::memcpy(out.data(), file.bytes().data() + header.data_offset, out.size() * sizeof(T));
  }
  return out;
}

std::string header_text(std::span<const int64_t> shape) {
  std::string dims;
  for (const int64_t dim : shape) dims += fmt::format("{}, ", dim);
  std::string dict =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims);
  // Elements start at a multiple of 64; the header is padded with spaces and ends with a newline.
  const auto padded = round_up(static_cast<int64_t>(10 + dict.size() + 1), 64);
  dict.append(static_cast<size_t>(padded) - 10 - dict.size() - 1, ' ');
  dict += '\n';
  std::string text(kMagic);
  text +=
      {'\x01', '\x00', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return text + dict;
}

}  // namespace

NpyArray<float> read_npy_f32(const fs::path& path) {
  const MappedFile file(path);
  const Header header = read_header(file);
  if (header.dtype != "<f4") {
    fail(ErrorCode::kUnsupported, "{}: elements are '{}', fp32 ('<f4') is needed", path.string(),
         header.dtype);
  }
  return {header.shape, copy_elements<float>(file, header)};
}

NpyArray<int64_t> read_npy_int(const fs::path& path) {
  const MappedFile file(path);
  const Header header = read_header(file);
  if (header.dtype == "<i8") return {header.shape, copy_elements<int64_t>(file, header)};
  if (header.dtype != "<i4") {
    fail(ErrorCode::kUnsupported, "{}: elements are '{}', integers ('<i4' or '<i8') are needed",
         path.string(), header.dtype);
  }
  const auto narrow = copy_elements<int32_t>(file, header);
  return {header.shape, {narrow.begin(), narrow.end()}};
}

NpyWriter::NpyWriter(const fs::path& path, std::span<const int64_t> shape) : file_(path) {
  const auto n = checked_product(shape);
  TQ_CHECK(n && *n <= INT64_MAX / 8, "shape of {} dimensions", shape.size());
  const std::string header = header_text(shape);
  size_bytes_ = header.size() + static_cast<uint64_t>(*n) * sizeof(float);
  file_.write_at(0, {reinterpret_cast<const uint8_t*>(header.data()), header.size()});
  offset_ = header.size();
}

void NpyWriter::append(std::span<const float> values) {
  TQ_CHECK(values.size_bytes() <= size_bytes_ - offset_, "more values than the shape holds");
  file_.write_at(offset_, {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
  offset_ += values.size_bytes();
}

void NpyWriter::finish() {
  TQ_CHECK(offset_ == size_bytes_, "{} bytes written of {}", offset_, size_bytes_);
  file_.commit();
}

}  // namespace tq
