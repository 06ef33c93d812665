// GLM-4.5 and later:
//   <tool_call>f
//   <arg_key>x</arg_key>
//   <arg_value>1</arg_value>
//   </tool_call>
// The line breaks may be missing.
#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kGlmOpen = "<tool_call>";
constexpr std::string_view kGlmClose = "</tool_call>";
constexpr std::string_view kKey = "<arg_key>";
constexpr std::string_view kKeyClose = "</arg_key>";
constexpr std::string_view kValue = "<arg_value>";
constexpr std::string_view kValueClose = "</arg_value>";

// A value may hold its closing tag: the one counts behind which the call can go on.
TextReader::Has take_glm_value(TextReader& reader, std::string_view& value) {
  using Has = TextReader::Has;
  const std::string_view text = reader.rest();
  for (size_t at = text.find(kValueClose); at != std::string_view::npos;
       at = text.find(kValueClose, at + 1)) {
    const Has ends = reader.follows(reader.position() + at + kValueClose.size(), kKey, kGlmClose);
    if (ends == Has::kMore) return ends;
    if (ends == Has::kNo) continue;
    value = text.substr(0, at);
    reader.skip(at + kValueClose.size());
    return Has::kYes;
  }
  return Has::kMore;
}

// From behind the name to behind the closing tag.
TextReader::Has take_glm_arguments(TextReader& reader, const std::string& name, const Json& tools,
                                   Json& arguments) {
  using Has = TextReader::Has;
  while (true) {
    reader.skip_white_space();
    const Has closed = reader.take(kGlmClose);
    const Has opened = closed == Has::kNo ? reader.take(kKey) : closed;
    if (closed == Has::kYes || opened != Has::kYes) return opened;
    std::string_view key;
    Has taken = reader.take_until("<", kMostNameBytes, key);
    if (taken == Has::kYes) taken = reader.take(kKeyClose);
    if (taken == Has::kYes) {
      reader.skip_white_space();
      taken = reader.take(kValue);
    }
    std::string_view value;
    if (taken == Has::kYes) taken = take_glm_value(reader, value);
    if (taken != Has::kYes) return taken;
    const std::string key_text(trim(key));
    arguments[key_text] = argument_value(value, argument_schema(tools, name, key_text));
  }
}

CallsRead read_glm(std::string_view text, bool at_end, const Json& tools) {
  using Has = TextReader::Has;
  using Kind = CallsRead::Kind;
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = kGlmOpen.size()};
  TextReader reader(text, at_end);
  reader.skip(kGlmOpen.size());
  reader.skip_white_space();
  std::string_view name_text;
  const Has named = reader.take_until("<\n", kMostNameBytes, name_text);
  if (named != Has::kYes) return named == Has::kMore ? CallsRead{} : none;
  const std::string name(trim(name_text));
  if (name.empty() || name.find_first_of("{}\"") != std::string::npos) return none;
  Json arguments = Json::object();
  const Has taken = take_glm_arguments(reader, name, tools, arguments);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  return {
      .kind = Kind::kCalls, .n_bytes = reader.position(), .calls = {{name, json_line(arguments)}}};
}

GrammarExpr write_glm(CallWriter& writer, const ForcedTool& tool) {
  std::vector<GrammarExpr> parts = {writer.tag(kGlmOpen), writer.text(tool.name + "\n")};
  for (const CallWriter::Member& member : CallWriter::members_of(tool.parameters)) {
    const GrammarExpr argument = writer.sequence(
        {writer.tag(kKey), writer.text(member.key), writer.tag(kKeyClose), writer.text("\n"),
         writer.tag(kValue), writer.bare_value(member.schema, kValueClose), writer.tag(kValueClose),
         writer.text("\n")});
    parts.push_back(member.required ? argument : writer.builder().optional(argument));
  }
  parts.push_back(writer.tag(kGlmClose));
  return writer.sequence(std::move(parts));
}

bool is_glm(std::string_view chat_template) {
  return chat_template.find(kGlmOpen) != std::string_view::npos &&
         chat_template.find("arg_key") != std::string_view::npos;
}

}  // namespace

const ToolFormat kGlmFormat = {
    .name = "glm",
    .is_of = is_glm,
    .openings = {kGlmOpen},
    .end_letters = ">",
    .read = read_glm,
    .tags = {kGlmOpen, kGlmClose, kKey, kKeyClose, kValue, kValueClose},
    .write = write_glm,
    .between_calls = "\n",
};

}  // namespace tq
