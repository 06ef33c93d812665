#include "io/safetensors/safetensors_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/file_kind.h"

namespace tq {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;
constexpr int kMaxDepth = 32;

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// An event reader, because an index may name hundreds of thousands of tensors and only weight_map
// is of interest.
class IndexReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IndexReader(const std::string& file) : file_(file) {}

  SafetensorsIndex take() {
    if (!seen_map_) fail(ErrorCode::kCorrupt, "{}: no \"weight_map\" object", file_);
    std::sort(index_.begin(), index_.end());
    for (size_t i = 1; i < index_.size(); ++i) {
      if (index_[i - 1].first == index_[i].first) {
        fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" twice in weight_map", file_, index_[i].first);
      }
    }
    return std::move(index_);
  }

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool binary(binary_t&) override { return scalar("binary data"); }
  bool number_integer(number_integer_t) override { return scalar("a number"); }
  bool number_unsigned(number_unsigned_t) override { return scalar("a number"); }
  bool number_float(number_float_t, const string_t&) override { return scalar("a number"); }

  bool string(string_t& value) override {
    if (!in_map()) return scalar("a string");
    if (!is_plain_file_name(value)) {
      fail(ErrorCode::kCorrupt,
           "{}: tensor \"{}\": shard \"{}\" is not a file name within the folder", file_, tensor_,
           value);
    }
    index_.emplace_back(std::move(tensor_), std::move(value));
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) {
      at_map_ = value == "weight_map";
      if (at_map_ && seen_map_) fail(ErrorCode::kCorrupt, "{}: weight_map twice", file_);
    } else if (in_map()) {
      tensor_ = std::move(value);
    }
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ == 1 && at_map_) {
      seen_map_ = true;
    } else if (depth_ >= 1) {
      scalar("an object");
    }
    return enter();
  }
  bool end_object() override { return leave(); }
  bool start_array(size_t) override {
    scalar("an array");
    return enter();
  }
  bool end_array() override { return leave(); }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", file_, e.what());
  }

 private:
  bool in_map() const { return at_map_ && depth_ == 2; }

  // Anything but the strings of weight_map: skipped elsewhere, wrong here.
  bool scalar(const char* what) const {
    if (depth_ == 0) fail(ErrorCode::kCorrupt, "{}: must be a JSON object, not {}", file_, what);
    if (at_map_) {
      fail(ErrorCode::kCorrupt, "{}: weight_map must map tensors to file names, found {}", file_,
           what);
    }
    return true;
  }
  bool enter() {
    if (++depth_ > kMaxDepth) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {}", file_, kMaxDepth);
    }
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }

  const std::string& file_;
  SafetensorsIndex index_;
  std::string tensor_;
  int depth_ = 0;
  bool at_map_ = false;  // inside the value of the root key "weight_map"
  bool seen_map_ = false;
};

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& name) {
  if (text.find('\0') != std::string_view::npos) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: a NUL byte", name);
  }
  IndexReader reader(name);
  nlohmann::json::sax_parse(text, &reader);
  return reader.take();
}

SafetensorsIndex read_safetensors_index(const fs::path& path) {
  return parse_safetensors_index(read_checkpoint_text(path, kMaxIndexBytes), path.string());
}

}  // namespace tq
