// Fields of request bodies as tables: name, type, range and what is done with the value. Requests
// are read, and could be described, by one list.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/api_error.h"

namespace tq {

enum class FieldType : uint8_t { kBool, kInteger, kNumber, kString, kArray, kObject, kAny };

// A field of a request that is read into a Target.
template <typename Target>
struct Field {
  std::string_view name;
  FieldType type;
  double low;   // of a number's value, of an array's or object's size, of a string's bytes
  double high;  // likewise
  void (*set)(Target& target, const Json& value);
};

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Throws ApiError 400 that names the field unless the value is of that type and in the range.
void check_field(std::string_view name, FieldType type, double low, double high, const Json& value);

// Sets the fields that the body has; null is as if it were absent, and unknown ones are ignored.
// Throws ApiError 400.
template <typename Target>
void read_fields(const Json& body, std::span<const Field<Target>> fields, Target& target) {
  for (const Field<Target>& field : fields) {
    const auto found = body.find(std::string(field.name));
    if (found == body.end() || found->is_null()) continue;
    check_field(field.name, field.type, field.low, field.high, *found);
    field.set(target, *found);
  }
}

// A field that is refused rather than ignored, as an answer without it would not be what was asked.
struct RefusedField {
  std::string_view name;
  std::string_view why;
};
// Throws ApiError 400 for one that is there and not null, false, or empty.
void refuse_fields(const Json& body, std::span<const RefusedField> fields);

// The body as a JSON object, at most 64 deep. Throws ApiError 400.
Json parse_body(std::string_view body);

}  // namespace tq
