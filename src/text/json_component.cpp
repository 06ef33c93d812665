#include "text/json_component.h"

#include <cstdint>
#include <utility>

#include "base/error.h"

namespace tq {

JsonComponent::JsonComponent(const Json& json, std::string where)
    : json_(&json), where_(std::move(where)) {
  if (!json.is_object()) corrupt("not an object");
  type_ = text("type");
}

const Json* JsonComponent::find(const char* key) {
  read_.insert(key);
  const auto it = json_->find(key);
  return it == json_->end() ? nullptr : &*it;
}

bool JsonComponent::flag(const char* key, bool fallback) {
  const Json* json = find(key);
  if (json == nullptr || json->is_null()) return fallback;
  if (!json->is_boolean()) corrupt(fmt::format("\"{}\" is not true or false", key));
  return json->get<bool>();
}

int64_t JsonComponent::integer(const char* key, int64_t fallback) {
  const Json* json = find(key);
  if (json == nullptr || json->is_null()) return fallback;
  const auto number = json_integer(*json, INT64_MIN, INT64_MAX);
  if (!number) corrupt(fmt::format("\"{}\" is not an integer of 64 bits", key));
  return *number;
}

std::string JsonComponent::text(const char* key) {
  const Json& json = value(key);
  if (!json.is_string()) corrupt(fmt::format("\"{}\" is not a string", key));
  return json.get<std::string>();
}

std::string JsonComponent::text(const char* key, const std::string& fallback) {
  const Json* json = find(key);
  return json == nullptr || json->is_null() ? fallback : text(key);
}

const Json& JsonComponent::value(const char* key) {
  const Json* json = find(key);
  if (json == nullptr) corrupt(fmt::format("\"{}\" is missing", key));
  return *json;
}

const Json& JsonComponent::array(const char* key) {
  const Json& json = value(key);
  if (!json.is_array()) corrupt(fmt::format("\"{}\" is not a list", key));
  return json;
}

void JsonComponent::finish() const {
  for (const auto& [key, unused] : json_->items()) {
    if (read_.count(key) == 0) unsupported(fmt::format("the option \"{}\"", key));
  }
}

void JsonComponent::unsupported(std::string_view what) const {
  fail(ErrorCode::kUnsupported, "{}: {}{}{} is not supported", where_, type_,
       type_.empty() ? "" : ": ", what);
}

void JsonComponent::corrupt(std::string_view what) const {
  fail(ErrorCode::kCorrupt, "{}: {}{}{}", where_, type_, type_.empty() ? "" : ": ", what);
}

std::vector<JsonComponent> flatten_components(const Json& section, const char* list_key,
                                              const std::string& where) {
  std::vector<JsonComponent> flat;
  if (section.is_null()) return flat;
  JsonComponent component(section, where);
  if (component.type() != "Sequence") {
    flat.push_back(std::move(component));
    return flat;
  }
  for (const Json& child : component.array(list_key)) {
    for (JsonComponent& inner : flatten_components(child, list_key, where)) {
      flat.push_back(std::move(inner));
    }
  }
  component.finish();
  return flat;
}

}  // namespace tq
