#include "server/tools/read_text.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace tq {
namespace {

// Adds to `types` what a schema lets a value be; false when it may be anything.
bool add_types(const Json& schema, std::string& types, int depth) {
  if (!schema.is_object() || depth > 8) return false;
  const auto add = [&](const std::string& type) { types += " " + type; };
  const auto add_type_of = [&](const Json& value) {
    add(value.is_boolean() ? "boolean" : value.is_number() ? "number" : value.type_name());
  };
  if (const auto type = schema.find("type"); type != schema.end()) {
    if (type->is_string()) return add(type->get<std::string>()), true;
    if (!type->is_array()) return false;
    for (const Json& one : *type) {
      if (one.is_string()) add(one.get<std::string>());
    }
    return true;
  }
  if (const auto values = schema.find("enum"); values != schema.end() && values->is_array()) {
    for (const Json& value : *values) add_type_of(value);
    return true;
  }
  if (const auto value = schema.find("const"); value != schema.end()) {
    return add_type_of(*value), true;
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const auto options = schema.find(key);
    if (options == schema.end() || !options->is_array() || options->empty()) continue;
    return std::all_of(options->begin(), options->end(),
                       [&](const Json& option) { return add_types(option, types, depth + 1); });
  }
  return false;
}

}  // namespace

size_t JsonScan::length(std::string_view text) {
  for (; !ended_ && position_ < text.size(); ++position_) {
    const char c = text[position_];
    if (in_string_) {
      if (c == '"' && !escaped_) in_string_ = false;
      escaped_ = c == '\\' && !escaped_;
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    ended_ = (c == '}' || c == ']') && --depth_ == 0;
  }
  return ended_ ? position_ : std::string_view::npos;
}

std::optional<Json> read_json(std::string_view text) {
  try {
    return parse_json(text, "call");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<ToolCall> call_of(const Json& object, const char* key, const char* other_key) {
  if (!object.is_object()) return std::nullopt;
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string() || *name == Json("")) return std::nullopt;
  auto found = object.find(key);
  if (found == object.end()) found = object.find(other_key);
  std::optional<Json> arguments = found == object.end() ? Json::object() : *found;
  if (arguments->is_string()) arguments = read_json(arguments->get_ref<const std::string&>());
  if (arguments && arguments->is_null()) arguments = Json::object();
  if (!arguments || !arguments->is_object()) return std::nullopt;
  return ToolCall{name->get<std::string>(), json_line(*arguments)};
}

bool has_tool(const Json& tools, std::string_view name) {
  return std::any_of(tools.begin(), tools.end(),
                     [&](const Json& tool) { return tool["function"]["name"] == name; });
}

const Json* argument_schema(const Json& tools, std::string_view name, const std::string& key) {
  for (const Json& tool : tools) {
    const Json& function = tool["function"];
    if (function["name"] != name) continue;
    const Json* at = &function;
    for (const std::string& step : {std::string("parameters"), std::string("properties"), key}) {
      const auto found = at->find(step);
      if (found == at->end()) return nullptr;
      at = &*found;
    }
    return at;
  }
  return nullptr;
}

bool may_be_text(const Json* schema) {
  std::string types;
  return schema == nullptr || !add_types(*schema, types, 0) ||
         types.find("string") != std::string::npos;
}

Json argument_value(std::string_view text, const Json* schema) {
  const Json listed =
      schema != nullptr && schema->is_object() ? schema->value("enum", Json()) : Json();
  if (listed.is_array()) {
    for (const Json& value : listed) {
      const bool is_text = value.is_string();
      if ((is_text ? value.get_ref<const std::string&>() : json_line(value)) == text) return value;
    }
  }
  std::string types;
  const bool is_known = schema != nullptr && add_types(*schema, types, 0);
  const auto may_be = [&](const char* type) {
    return !is_known || types.find(type) != std::string::npos;
  };
  if (is_known && may_be("string")) {
    if (text == "null" && may_be("null")) return nullptr;
    return std::string(text);
  }
  const std::string_view trimmed = trim(text);
  if (const auto value = read_json(trimmed)) return *value;
  // As Python writes them.
  if (trimmed == "True" && may_be("boolean")) return true;
  if (trimmed == "False" && may_be("boolean")) return false;
  if (trimmed == "None" && may_be("null")) return nullptr;
  return std::string(text);
}

void add_argument(CallProgress& progress, std::string_view value, const Json& tools,
                  size_t position) {
  progress.n_read = position;
  const Json* schema = argument_schema(tools, progress.name, *progress.key);
  progress.arguments[*progress.key] = argument_value(value, schema);
  progress.key.reset();
}

void TextReader::skip_white_space() {
  position_ = std::min(text_.find_first_not_of(kWhiteSpace, position_), text_.size());
}

TextReader::Has TextReader::has(size_t position, std::string_view word) const {
  const std::string_view rest = text_.substr(position);
  if (rest.starts_with(word)) return Has::kYes;
  return !at_end_ && word.starts_with(rest) ? Has::kMore : Has::kNo;
}

TextReader::Has TextReader::take(std::string_view word) {
  const Has found = starts_with(word);
  if (found == Has::kYes) skip(word.size());
  return found;
}

TextReader::Has TextReader::take_until(std::string_view letters, size_t most,
                                       std::string_view& taken) {
  const std::string_view text = rest();
  const size_t end = text.find_first_of(letters);
  taken = text.substr(0, end);
  if (taken.size() > most || (taken.find('\n') != std::string_view::npos)) return Has::kNo;
  if (end == std::string_view::npos) return at_end_ ? Has::kNo : Has::kMore;
  skip(end);
  return Has::kYes;
}

TextReader::Has TextReader::take_json(Json& json, JsonScan& scan) {
  const size_t length = scan.length(rest());
  if (length == std::string_view::npos) return Has::kMore;
  auto read = read_json(rest().substr(0, length));
  if (!read) return Has::kNo;
  json = std::move(*read);
  skip(length);
  return Has::kYes;
}

TextReader::Has TextReader::follows(size_t position, std::string_view word,
                                    std::string_view other) const {
  position = std::min(text_.find_first_not_of(kWhiteSpace, position), text_.size());
  const Has first = has(position, word);
  const Has second = other.empty() ? Has::kNo : has(position, other);
  if (first == Has::kYes || second == Has::kYes) return Has::kYes;
  return first == Has::kMore || second == Has::kMore ? Has::kMore : Has::kNo;
}

}  // namespace tq
