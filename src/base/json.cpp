#include "base/json.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"

template class nlohmann::basic_json<tq::IndexedMap>;

namespace tq {
namespace {

// Builds a value from the parser's events: each is handled once, in time that does not depend on
// what was read before.
class Builder {
 public:
  Builder(const std::string& name, const JsonLimits& limits) : name_(name), limits_(limits) {}

  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(Json::number_integer_t value) { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return add(value); }
  bool number_float(Json::number_float_t value, const std::string& /*text*/) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t& /*value*/) { return false; }  // not in JSON texts
  bool start_object(size_t /*size*/) { return open(Json::object()); }
  bool start_array(size_t /*size*/) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& key) {
    check_depth();
    const auto [place, is_new] =
        open_.back()->get_ref<Json::object_t&>().emplace(std::move(key), Json());
    if (!is_new) fail(ErrorCode::kCorrupt, "{}: duplicate key \"{}\"", name_, place->first);
    member_ = &place->second;
    return true;
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", name_, error.what());
  }

 private:
  void check_depth() const {
    if (open_.size() > static_cast<size_t>(limits_.max_depth)) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {}", name_, limits_.max_depth);
    }
  }

  // Puts the value where it belongs.
  Json& place(Json&& value) {
    check_depth();
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_object()) return *member_ = std::move(value);
    Json::array_t& array = open_.back()->get_ref<Json::array_t&>();
    array.push_back(std::move(value));
    return array.back();
  }
  bool add(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& value) {
    open_.push_back(&place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& name_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Json*> open_;  // arrays and objects, the innermost last
  Json* member_ = nullptr;   // whose key was read last
};

}  // namespace

Json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, more than the {} allowed", name, text.size(),
         limits.max_bytes);
  }
  // The lexer would skip a byte order mark and take a NUL byte for the end of the text.
  if (text.starts_with("\xef\xbb\xbf") || text.find('\0') != std::string_view::npos) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: it has a byte order mark or a NUL byte", name);
  }
  Builder builder(name, limits);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::optional<int64_t> json_integer(const Json& value, int64_t low, int64_t high) {
  constexpr double kExact = 0x1p53;  // up to here a double is the integer that was written
  int64_t number = 0;
  if (value.is_number_unsigned()) {
    const auto written = value.get<uint64_t>();
    if (written > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
    number = static_cast<int64_t>(written);
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else if (value.is_number_float()) {
    const auto written = value.get<double>();
    if (!(std::fabs(written) <= kExact) || written != std::floor(written)) return std::nullopt;
    number = static_cast<int64_t>(written);
  } else {
    return std::nullopt;
  }
  return number < low || number > high ? std::nullopt : std::optional(number);
}

std::optional<float> json_float(const Json& value) {
  if (!value.is_number()) return std::nullopt;
  const auto written = value.get<double>();
  if (!(std::fabs(written) <= double{std::numeric_limits<float>::max()})) return std::nullopt;
  const auto number = static_cast<float>(written);
  return number == 0 && written != 0 ? std::nullopt : std::optional(number);
}

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_for_message(const Json& value) {
  constexpr size_t kShown = 60;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kShown) text.replace(kShown - 3, text.npos, "...");
  return text;
}

}  // namespace tq
