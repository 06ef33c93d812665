// Builds small safetensors files for tests without the writer under test. raw_safetensors() takes
// any header text, so that broken files can be made as well.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/float16.h"
#include "base/json.h"
#include "support/temp_dir.h"
#include "tensor/dtype.h"

namespace tq::fixtures {

// Length word, header and data, exactly as given.
inline std::string raw_safetensors(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data);
}

class SafetensorsBuilder {
 public:
  SafetensorsBuilder& add(const std::string& name, DType dtype, const Shape& shape,
                          std::string_view bytes) {
    header_[name] = {{"dtype", dtype_info(dtype).name},
                     {"shape", shape},
                     {"data_offsets", {data_.size(), data_.size() + bytes.size()}}};
    data_.append(bytes);
    return *this;
  }
  // Floats stored as F32, F16 or BF16.
  SafetensorsBuilder& add_floats(const std::string& name, const Shape& shape,
                                 std::span<const float> values, DType dtype = DType::kF32) {
    std::string bytes;
    for (const float value : values) {
      const uint16_t half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      const char* source = dtype == DType::kF32 ? reinterpret_cast<const char*>(&value)
                                                : reinterpret_cast<const char*>(&half);
      bytes.append(source, dtype == DType::kF32 ? 4 : 2);
    }
    return add(name, dtype, shape, bytes);
  }
  SafetensorsBuilder& add_bytes(const std::string& name, const Shape& shape,
                                std::span<const uint8_t> values) {
    return add(name, DType::kU8, shape,
               {reinterpret_cast<const char*>(values.data()), values.size()});
  }
  SafetensorsBuilder& metadata(const std::string& key, const std::string& value) {
    header_["__metadata__"][key] = value;
    return *this;
  }

  // The file, its header padded with spaces so that data begins on an 8-byte boundary.
  std::string bytes() const {
    std::string header = header_.dump();
    header.append((8 - header.size() % 8) % 8, ' ');
    return raw_safetensors(header, data_);
  }
  void write(const std::filesystem::path& path) const { write_bytes(path, bytes()); }

 private:
  Json header_ = Json::object();
  std::string data_;
};

}  // namespace tq::fixtures
