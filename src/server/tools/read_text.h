// What formats of tool calls have in common: reading texts that may not be complete yet, JSON in
// them, and arguments that are texts as the values that a tool's schema wants.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ascii.h"
#include "base/json.h"
#include "server/tools/tool_format.h"

namespace tq {

constexpr size_t kMostNameBytes = 256;  // of a tool's name

// The JSON of a text; absent when it is none.
std::optional<Json> read_json(std::string_view text);

// The call that an object makes: its name under "name", its arguments, an object or the text of
// one, under one of the two keys. Absent when it makes none.
std::optional<ToolCall> call_of(const Json& object, const char* key, const char* other_key = "");

bool has_tool(const Json& tools, std::string_view name);
// The schema of a tool's argument; null where nothing is known of it.
const Json* argument_schema(const Json& tools, std::string_view name, const std::string& key);
// Whether a schema (null: anything) lets a value be a text.
bool may_be_text(const Json* schema);
// An argument that was written as it is, without quotes: the value of the schema's enum that is
// written so, a text where the schema (may be null) wants one, else the JSON value if it is one.
Json argument_value(std::string_view text, const Json* schema);

// Adds the value of the argument whose key was read, which ends at the position.
void add_argument(CallProgress& progress, std::string_view value, const Json& tools,
                  size_t position);

// Takes a text apart from its beginning, which may go on.
class TextReader {
 public:
  // What the text has at a place. kMore: it is too short to tell.
  enum class Has : uint8_t { kYes, kNo, kMore };

  TextReader(std::string_view text, bool at_end) : text_(text), at_end_(at_end) {}

  size_t position() const { return position_; }
  std::string_view rest() const { return text_.substr(position_); }
  void skip(size_t n) { position_ += n; }
  void skip_white_space();
  Has starts_with(std::string_view word) const { return has(position_, word); }
  // The same, and goes on behind it if so.
  Has take(std::string_view word);
  // Up to the first of the letters, which is left there. kNo when more than `most` bytes come
  // before it, or a line ends.
  Has take_until(std::string_view letters, size_t most, std::string_view& taken);
  // The JSON object or array that is here, as it was in the scan's earlier calls. kMore: it has no
  // end yet; kNo: it cannot be read.
  Has take_json(Json& json, JsonScan& scan);
  // Whether, behind white space, one of the two words is at that position; an empty one is not.
  Has follows(size_t position, std::string_view word, std::string_view other) const;

 private:
  Has has(size_t position, std::string_view word) const;

  std::string_view text_;
  bool at_end_;
  size_t position_ = 0;
};

}  // namespace tq
