#include "server/fields.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace tq {
namespace {

constexpr const char* kInvalid = "invalid_value";

const char* type_name(FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return "true or false";
    case FieldType::kInteger:
      return "an integer";
    case FieldType::kNumber:
      return "a number";
    case FieldType::kString:
      return "a string";
    case FieldType::kArray:
      return "an array";
    case FieldType::kObject:
      return "an object";
    case FieldType::kAny:
      break;
  }
  return "any value";
}

bool is_type(FieldType type, const Json& value) {
  switch (type) {
    case FieldType::kBool:
      return value.is_boolean();
    case FieldType::kInteger:
      return json_integer(value, std::numeric_limits<int64_t>::min(),
                          std::numeric_limits<int64_t>::max())
          .has_value();
    case FieldType::kNumber:
      return value.is_number();
    case FieldType::kString:
      return value.is_string();
    case FieldType::kArray:
      return value.is_array();
    case FieldType::kObject:
      return value.is_object();
    case FieldType::kAny:
      break;
  }
  return true;
}

// What the range is about.
double size_of(FieldType type, const Json& value) {
  switch (type) {
    case FieldType::kInteger:
    case FieldType::kNumber:
      return value.get<double>();
    case FieldType::kString:
      return static_cast<double>(value.get_ref<const std::string&>().size());
    case FieldType::kArray:
    case FieldType::kObject:
      return static_cast<double>(value.size());
    default:
      return 0;
  }
}

std::string range_text(FieldType type, double low, double high) {
  const char* what = type == FieldType::kString                                ? " bytes long"
                     : type == FieldType::kArray || type == FieldType::kObject ? " long"
                                                                               : "";
  if (high == kNoLimit) return fmt::format("at least {}{}", low, what);
  return fmt::format("{} to {}{}", low, high, what);
}

}  // namespace

void check_field(std::string_view name, FieldType type, double low, double high,
                 const Json& value) {
  if (!is_type(type, value)) {
    throw ApiError(400,
                   fmt::format("{} is {}, not {}", name, json_for_message(value), type_name(type)),
                   std::string(name), "invalid_type");
  }
  const bool has_size = type != FieldType::kBool && type != FieldType::kAny;
  const double size = size_of(type, value);
  if (has_size && !(size >= low && size <= high)) {
    const bool is_number = type == FieldType::kInteger || type == FieldType::kNumber;
    throw ApiError(400,
                   fmt::format("{} is {}: it must be {}", name,
                               is_number ? json_for_message(value) : fmt::format("{} long", size),
                               range_text(type, low, high)),
                   std::string(name), kInvalid);
  }
}

void refuse_fields(const Json& body, std::span<const RefusedField> fields) {
  for (const RefusedField& field : fields) {
    const auto found = body.find(std::string(field.name));
    if (found == body.end() || found->is_null() || *found == Json(false)) continue;
    if ((found->is_array() || found->is_object() || found->is_string()) && found->empty()) continue;
    throw ApiError(400, fmt::format("{}: {}", field.name, field.why), std::string(field.name),
                   "unsupported_parameter");
  }
}

Json parse_body(std::string_view body) {
  try {
    Json json = parse_json(body, "the request's body");
    if (!json.is_object()) throw ApiError(400, "the request's body is not a JSON object");
    return json;
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "", "invalid_json");
  }
}

}  // namespace tq
