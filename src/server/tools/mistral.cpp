// Mistral, older:  [TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}, ...]
// newer:           [TOOL_CALLS]f[ARGS]{"x": 1}      each call with its tag; also with [CALL_ID]ID
//                                                   before [ARGS], and without [ARGS]
#include <algorithm>

#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kToolCalls = "[TOOL_CALLS]";
constexpr std::string_view kArguments = "[ARGS]";
constexpr std::string_view kCallId = "[CALL_ID]";

// Behind the tag: a list of calls, or one.
CallsRead read_list(TextReader& reader, CallProgress& progress) {
  using Has = TextReader::Has;
  using Kind = CallsRead::Kind;
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = kToolCalls.size()};
  Json json;
  const Has taken = reader.take_json(json, progress.json);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  if (json.empty()) return none;
  CallsRead read = {.kind = Kind::kCalls, .n_bytes = reader.position()};
  for (const Json& one : json.is_array() ? json : Json::array({json})) {
    auto call = call_of(one, "arguments", "parameters");
    if (!call) return none;
    read.calls.push_back(std::move(*call));
  }
  return read;
}

// From a name to the beginning of its arguments.
TextReader::Has take_name(TextReader& reader, CallProgress& progress) {
  using Has = TextReader::Has;
  std::string_view name;
  Has taken = reader.take_until("[{", kMostNameBytes, name);
  if (taken != Has::kYes) return taken;
  name = trim(name);
  if (name.empty() || name.find_first_of(" \t\r") != std::string_view::npos) return Has::kNo;
  taken = reader.take(kCallId);
  if (taken == Has::kYes) {
    std::string_view id;
    taken = reader.take_until("[{", kMostNameBytes, id);
    if (taken != Has::kYes) return taken;
  }
  const Has tag = reader.take(kArguments);
  if (taken == Has::kMore || tag == Has::kMore) return Has::kMore;
  reader.skip_white_space();
  if (reader.rest().empty()) return Has::kMore;
  if (reader.rest()[0] != '{') return Has::kNo;
  progress.name = name;
  progress.n_read = reader.position();
  return Has::kYes;
}

// A name, and its arguments.
CallsRead read_named(TextReader& reader, CallProgress& progress) {
  using Has = TextReader::Has;
  using Kind = CallsRead::Kind;
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = kToolCalls.size()};
  Has taken = progress.name.empty() ? take_name(reader, progress) : Has::kYes;
  Json json;
  if (taken == Has::kYes) taken = reader.take_json(json, progress.json);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  return {.kind = Kind::kCalls,
          .n_bytes = reader.position(),
          .calls = {{progress.name, json_line(json)}}};
}

CallsRead read_mistral(std::string_view text, bool at_end, const Json&, CallProgress& progress) {
  TextReader reader(text, at_end);
  reader.skip(std::max(progress.n_read, kToolCalls.size()));
  if (!progress.name.empty()) return read_named(reader, progress);
  reader.skip_white_space();
  progress.n_read = reader.position();
  if (reader.rest().empty()) return {};
  const char first = reader.rest()[0];
  return first == '[' || first == '{' ? read_list(reader, progress) : read_named(reader, progress);
}

// In the newer form where the tokenizer has its token.
GrammarExpr write_mistral(CallWriter& writer, const ForcedTool& tool) {
  const GrammarExpr tag = writer.tag(kToolCalls);
  const GrammarExpr arguments = writer.json(tool.parameters);
  if (writer.has_token(kArguments)) {
    return writer.sequence({tag, writer.text(tool.name), writer.tag(kArguments), arguments});
  }
  const std::string begin = "[{\"name\": " + json_line(Json(tool.name)) + ", \"arguments\": ";
  return writer.sequence({tag, writer.text(begin), arguments, writer.text("}]")});
}

bool is_mistral(std::string_view chat_template) {
  return chat_template.find(kToolCalls) != std::string_view::npos;
}

}  // namespace

const ToolFormat kMistralFormat = {
    .name = "mistral",
    .is_of = is_mistral,
    .openings = {kToolCalls},
    .end_letters = "}]",
    .read = read_mistral,
    .tags = {kToolCalls, kArguments, kCallId},
    .write = write_mistral,
    .n_id_letters = 9,  // its templates refuse others
};

}  // namespace tq
