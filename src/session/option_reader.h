// OptionReader: the visitor of visit_options() that sets options from a JSON object, for programs
// that are configured in JSON, by keyword arguments or by names and texts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/human.h"
#include "base/nearest.h"
#include "format/kv_traits.h"
#include "format/traits.h"
#include "session/options.h"

namespace tq {

// "top_k" of "top-k".
inline std::string json_name(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;

enum class OptionValues : uint8_t {
  kTyped,  // as JSON has them: numbers, true and false, texts, lists of texts
  kTexts,  // all are texts, as on a command line; of an option that may be repeated a list
};

// Sets the options that an object has fields for.
class OptionReader {
 public:
  // Reads all fields into one struct's options. Throws as read_options() does.
  template <typename Options>
  static void read_all(const Json& object, Options& options,
                       OptionValues values = OptionValues::kTyped) {
    OptionReader reader(object, values);
    visit_options(options, reader);
    reader.check_all_used();
  }

  explicit OptionReader(const Json& object, OptionValues values = OptionValues::kTyped)
      : object_(object), values_(values) {
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
    if (values_ == OptionValues::kTexts) take_text<T>();
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
      variable = fraction<T>(values);
    } else {
      variable = number<T>(values);
    }
  }

  // Makes the text what T would be in JSON; one that is nothing of that kind stays a text, and is
  // refused when it is read.
  template <typename T>
  void take_text() {
    if constexpr (kIsOptional<T>) {
      take_text<typename T::value_type>();
    } else if constexpr (std::is_arithmetic_v<T>) {
      if (!value_->is_string()) return;  // given twice
      Json number = Json::parse(value_->get_ref<const std::string&>(), nullptr, false);
      if (!number.is_boolean() && !number.is_number()) return;
      taken_ = std::move(number);
      value_ = &taken_;
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
  void check(const std::string& text, StoredKvFormat /*values*/) const {
    std::vector<std::string> names;
    for (const KvFormatTraits& format : all_kv_formats()) names.emplace_back(format.name);
    check_listed(text, names);
  }
  void check_listed(const std::string& text, const std::vector<std::string>& names) const {
    if (std::find(names.begin(), names.end(), text) != names.end()) return;
    fail(ErrorCode::kInvalidArgument, "{}: {} is none of {}{}", name_, text, fmt::join(names, ", "),
         did_you_mean(text, names));
  }

  template <typename T>
  T fraction(AnyValue /*values*/) const {
    const auto number = json_float(*value_);
    if (!number) refuse("a number");
    return *number;
  }
  template <typename T>
  T fraction(const Decimals& values) const {
    if (!value_->is_number() || !(value_->get<double>() >= values.least) ||
        !(value_->get<double>() <= values.most)) {
      refuse(fmt::format("a number from {} to {}", values.least, values.most));
    }
    return value_->get<T>();
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
  T number(TokenCount /*values*/) const {
    if (*value_ == "auto") refuse("a number of tokens, or a text such as \"32k\"");
    return number<T>(ContextLength{});
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
  OptionValues values_;
  Json taken_;  // from a text
  size_t n_used_ = 0;
  std::vector<std::string> names_;  // all there are
  std::string name_;                // of the field that is read
  const Json* value_ = nullptr;
};

}  // namespace tq
