#include "session/options.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/error.h"
#include "base/human.h"
#include "base/nearest.h"
#include "convert/class_formats.h"
#include "format/kv_traits.h"
#include "format/traits.h"

namespace tq {
namespace {

std::string json_name(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;

// Sets the options that an object has fields for.
class JsonReader {
 public:
  explicit JsonReader(const Json& object) : object_(object) {
    if (!object.is_object()) fail(ErrorCode::kInvalidArgument, "options must be a JSON object");
  }

  template <typename T, typename Values>
  void operator()(const OptionText& text, T& variable, const Values& values) {
    name_ = json_name(text.name);
    names_.push_back(name_);
    auto field = object_.find(name_);
    if (text.also.size() > 1) {
      names_.push_back(json_name(text.also));
      if (field == object_.end()) {
        name_ = names_.back();
        field = object_.find(name_);
      }
    }
    if (field == object_.end()) return;
    ++n_used_;
    value_ = &*field;
    read(variable, values);
  }

  // Throws for a field that is no option.
  void check_all_used() const {
    if (n_used_ == object_.size()) return;
    for (const auto& [name, value] : object_.items()) {
      if (std::find(names_.begin(), names_.end(), name) != names_.end()) continue;
      fail(ErrorCode::kInvalidArgument, "{}: there is no such option{}", name,
           did_you_mean(name, names_));
    }
    fail(ErrorCode::kInvalidArgument, "an option is given by both of its names");
  }

 private:
  template <typename T, typename Values>
  void read(T& variable, const Values& values) {
    if constexpr (kIsOptional<T>) {
      if (value_->is_null()) return variable.reset();
      return read(variable.emplace(), values);
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!value_->is_boolean()) refuse("true or false");
      variable = value_->get<bool>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      variable = text_of(*value_, "a text");
      check(variable, values);
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      variable.clear();
      if (!value_->is_array()) {
        variable.push_back(text_of(*value_, "a text or a list of texts"));
      } else {
        for (const Json& item : *value_) variable.push_back(text_of(item, "a list of texts"));
      }
    } else if constexpr (std::is_floating_point_v<T>) {
      const auto number = json_float(*value_);
      if (!number) refuse("a number");
      variable = *number;
    } else {
      variable = number<T>(values);
    }
  }

  void check(const std::string& /*text*/, AnyValue /*values*/) const {}
  void check(const std::string& text, const OneOf& values) const {
    check_listed(text, values.names);
  }
  void check(const std::string& text, FormatName /*values*/) const {
    std::vector<std::string> names = {"auto"};
    for (const FormatTraits& format : all_formats()) names.emplace_back(format.name);
    check_listed(text, names);
  }
  void check(const std::string& text, KvFormatName /*values*/) const {
    std::vector<std::string> names = {"auto"};
    for (const KvFormatTraits& format : all_kv_formats()) names.emplace_back(format.name);
    check_listed(text, names);
  }
  void check_listed(const std::string& text, const std::vector<std::string>& names) const {
    if (std::find(names.begin(), names.end(), text) != names.end()) return;
    fail(ErrorCode::kInvalidArgument, "{}: {} is none of {}{}", name_, text, fmt::join(names, ", "),
         did_you_mean(text, names));
  }

  template <typename T>
  T number(AnyValue /*values*/) const {
    return whole<T>(std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  }
  template <typename T>
  T number(const Range& values) const {
    return whole<T>(values.least, values.most);
  }
  template <typename T>
  T number(ByteSize /*values*/) const {
    const auto bytes = value_->is_string() ? parse_bytes(value_->get<std::string>())
                                           : json_integer(*value_, 0, kMost);
    if (!bytes) refuse("a number of bytes, or a text such as \"12GiB\"");
    return static_cast<T>(*bytes);
  }
  template <typename T>
  T number(ContextLength /*values*/) const {
    if (*value_ == "auto") return kLongestContext;
    const auto tokens = value_->is_string() ? parse_tokens(value_->get<std::string>())
                                            : json_integer(*value_, 0, kMostContext);
    if (!tokens || *tokens > kMostContext) {
      refuse(fmt::format("a number of tokens up to {}, a text such as \"32k\", or \"auto\"",
                         kMostContext));
    }
    return *tokens;
  }
  template <typename T>
  T number(Seed /*values*/) const {
    if (json_integer(*value_, -1, -1)) return draw_seed();
    if (!value_->is_number_unsigned()) refuse("a whole number, or -1 to draw one");
    return value_->get<T>();
  }
  template <typename T>
  T whole(int64_t least, int64_t most) const {
    const auto number = json_integer(*value_, least, most);
    if (!number) refuse(fmt::format("a whole number from {} to {}", least, most));
    return static_cast<T>(*number);
  }

  std::string text_of(const Json& value, std::string_view wanted) const {
    if (!value.is_string()) refuse(wanted);
    return value.get<std::string>();
  }
  [[noreturn]] void refuse(std::string_view wanted) const {
    fail(ErrorCode::kInvalidArgument, "{}: {} is not {}", name_, json_for_message(*value_), wanted);
  }

  static constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

  const Json& object_;
  size_t n_used_ = 0;
  std::vector<std::string> names_;  // all there are
  std::string name_;                // of the field that is read
  const Json* value_ = nullptr;
};

template <typename Options>
void read_from(const Json& object, Options& options) {
  JsonReader reader(object);
  visit_options(options, reader);
  reader.check_all_used();
}

}  // namespace

void read_options(const Json& object, ModelOptions& options) { read_from(object, options); }
void read_options(const Json& object, SamplingOptions& options) { read_from(object, options); }

}  // namespace tq
