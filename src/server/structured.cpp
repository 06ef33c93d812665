#include "server/structured.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "server/api_error.h"
#include "server/fields.h"

namespace tq {
namespace {

constexpr double kMostGrammarBytes = GrammarLimits::kTextBytes;
constexpr double kMostTexts = 4096;

[[noreturn]] void refuse_grammar(const std::string& field, const std::string& why) {
  throw ApiError(400, why, field, "invalid_value");
}

// A schema, also as a text that holds it.
GrammarSource read_schema(const std::string& field, const Json& value) {
  if (value.is_object() || value.is_boolean()) return json_schema_source(value);
  check_field(field, FieldType::kString, 1, kMostGrammarBytes, value);
  try {
    return json_schema_source(parse_json(value.get_ref<const std::string&>(), field));
  } catch (const Error& error) {
    refuse_grammar(field, error.what());
  }
}

GrammarSource read_regex(const std::string& field, const Json& value) {
  check_field(field, FieldType::kString, 1, kMostGrammarBytes, value);
  return regex_source(value.get<std::string>());
}

GrammarSource read_choice(const std::string& field, const Json& value) {
  check_field(field, FieldType::kArray, 1, kMostTexts, value);
  std::vector<std::string> texts;
  for (const Json& text : value) {
    check_field(field, FieldType::kString, 1, kMostGrammarBytes, text);
    texts.push_back(text.get<std::string>());
  }
  return choice_source(std::move(texts));
}

GrammarSource read_gbnf(const std::string& field, const Json& value) {
  check_field(field, FieldType::kString, 1, kMostGrammarBytes, value);
  return gbnf_source(value.get<std::string>());
}

// {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}
std::optional<GrammarSource> read_response_format(const std::string& field, const Json& value) {
  check_field(field, FieldType::kObject, 0, 64, value);
  const Json type = value.value("type", Json());
  if (type == "text") return std::nullopt;
  if (type == "json_object") {
    // As some servers have it, with a schema beside.
    const Json schema = value.value("schema", Json());
    return schema.is_null() ? json_object_source() : read_schema(field, schema);
  }
  if (type != "json_schema") {
    refuse_grammar(field,
                   fmt::format("response_format.type is {}: it is text, json_object or json_schema",
                               json_for_message(type)));
  }
  const Json format = value.value("json_schema", Json());
  const Json schema = format.is_object() ? format.value("schema", Json()) : Json();
  if (schema.is_null()) refuse_grammar(field, "response_format has no json_schema.schema");
  return read_schema(field, schema);
}

std::optional<GrammarSource> read_structured_outputs(const std::string& field, const Json& value);

struct FieldReader {
  const char* name;
  std::optional<GrammarSource> (*read)(const std::string& field, const Json& value);
};

template <GrammarSource (*kRead)(const std::string&, const Json&)>
std::optional<GrammarSource> always(const std::string& field, const Json& value) {
  return kRead(field, value);
}

std::optional<GrammarSource> read_json_object(const std::string& field, const Json& value) {
  check_field(field, FieldType::kBool, 0, 0, value);
  if (!value.get<bool>()) return std::nullopt;
  return json_object_source();
}

constexpr FieldReader kGrammarFields[] = {
    {"response_format", read_response_format},
    {"guided_json", always<read_schema>},
    {"guided_json_object", read_json_object},
    {"guided_regex", always<read_regex>},
    {"guided_choice", always<read_choice>},
    {"guided_grammar", always<read_gbnf>},
    {"structured_outputs", read_structured_outputs},
    {"json_schema", always<read_schema>},
    {"grammar", always<read_gbnf>},
};

constexpr FieldReader kStructuredOutputs[] = {
    {"json", always<read_schema>},  {"json_object", read_json_object},
    {"regex", always<read_regex>},  {"choice", always<read_choice>},
    {"grammar", always<read_gbnf>},
};

// What the one field that asks for something asks for.
template <size_t n>
std::optional<AskedGrammar> read_one(const Json& object, const FieldReader (&readers)[n],
                                     const std::string& prefix) {
  std::optional<AskedGrammar> asked;
  for (const FieldReader& reader : readers) {
    const auto found = object.find(reader.name);
    if (found == object.end() || found->is_null()) continue;
    const std::string field = prefix + reader.name;
    auto source = reader.read(field, *found);
    if (!source) continue;
    if (asked) {
      refuse_grammar(
          field, fmt::format("{} and {}: an answer is held to one of them", asked->field, field));
    }
    asked = AskedGrammar{field, std::move(*source)};
  }
  return asked;
}

std::optional<GrammarSource> read_structured_outputs(const std::string& field, const Json& value) {
  check_field(field, FieldType::kObject, 0, 64, value);
  for (const auto& [key, item] : value.items()) {
    bool is_known = key == "disable_fallback" || key == "disable_any_whitespace" ||
                    key == "disable_additional_properties";
    for (const FieldReader& reader : kStructuredOutputs) is_known = is_known || key == reader.name;
    const bool says_something = !item.is_null() && item != Json(false);
    if (says_something && (!is_known || key == "disable_additional_properties")) {
      throw ApiError(400, fmt::format("{}.{} is not supported", field, key), field,
                     "unsupported_parameter");
    }
  }
  auto asked = read_one(value, kStructuredOutputs, field + ".");
  if (!asked) return std::nullopt;
  return std::move(asked->source);
}

}  // namespace

std::optional<AskedGrammar> read_grammar(const Json& body) {
  for (const char* field : {"guided_whitespace_pattern", "structural_tag"}) {
    const Json value = body.value(field, Json());
    if (value.is_null() || value == "") continue;
    throw ApiError(400, fmt::format("{} is not supported", field), field, "unsupported_parameter");
  }
  return read_one(body, kGrammarFields, "");
}

std::function<std::shared_ptr<Constraint>(const Prompt& prompt)> constrain_to(
    const AskedGrammar& asked, std::shared_ptr<Grammars> grammars) {
  std::shared_ptr<TokenGrammar> grammar;
  try {
    if (!grammars) {
      fail(ErrorCode::kUnsupported, "this model has no tokenizer, which grammars need");
    }
    grammar = grammars->get(asked.source);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument && error.code() != ErrorCode::kUnsupported) {
      throw;
    }
    throw ApiError(
        400, fmt::format("{}: {}", asked.field, error.what()), asked.field,
        error.code() == ErrorCode::kUnsupported ? "unsupported_schema" : "invalid_schema");
  }
  return [grammar, grammars](const Prompt& prompt) {
    return grammars->constrain(grammar, prompt.parser);
  };
}

}  // namespace tq
