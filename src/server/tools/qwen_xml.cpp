// Qwen3-Coder, Qwen3.5:
//   <tool_call>
//   <function=f>
//   <parameter=x>
//   1
//   </parameter>
//   </function>
//   </tool_call>
// Models forget the outer tag, and closing tags of parameters.
#include "server/tools/read_text.h"

namespace tq {
namespace {

using Has = TextReader::Has;

constexpr std::string_view kCallOpen = "<tool_call>";
constexpr std::string_view kCallClose = "</tool_call>";
constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kParameterClose = "</parameter>";

// The value of a parameter: up to what can only be its end, as it may hold tags itself.
Has take_parameter(TextReader& reader, std::string_view& value) {
  const std::string_view text = reader.rest();
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
    const std::string_view tag = text.substr(at);
    const size_t position = reader.position() + at;
    Has ends = Has::kNo;
    size_t n_tag = 0;
    if (tag.starts_with(kParameterClose)) {
      n_tag = kParameterClose.size();
      ends = reader.follows(position + n_tag, kParameter, kFunctionClose);
    } else if (tag.starts_with(kFunctionClose)) {
      ends = reader.follows(position + kFunctionClose.size(), kCallClose, "");
    } else if (tag.starts_with(kParameter) && at > 0 && text[at - 1] == '\n') {
      ends = Has::kYes;
    } else if (tag.size() < kParameterClose.size() &&
               (kParameterClose.starts_with(tag) || kFunctionClose.starts_with(tag) ||
                kParameter.starts_with(tag))) {
      return Has::kMore;
    }
    if (ends == Has::kMore) return Has::kMore;
    if (ends == Has::kNo) continue;
    value = text.substr(0, at);
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    reader.skip(at + n_tag);
    return Has::kYes;
  }
  return Has::kMore;
}

// From behind <function=NAME> to behind its closing tag.
Has take_parameters(TextReader& reader, const std::string& name, const Json& tools,
                    Json& arguments) {
  while (true) {
    reader.skip_white_space();
    const Has closed = reader.take(kFunctionClose);
    const Has opened = closed == Has::kNo ? reader.take(kParameter) : closed;
    if (closed == Has::kYes || opened != Has::kYes) return opened;
    std::string_view key;
    if (const Has taken = reader.take_until(">", kMostNameBytes, key); taken != Has::kYes) {
      return taken;
    }
    reader.skip(1);
    std::string_view value;
    if (const Has taken = take_parameter(reader, value); taken != Has::kYes) return taken;
    const std::string key_text(trim(key));
    arguments[key_text] = argument_value(value, argument_schema(tools, name, key_text));
  }
}

CallsRead read_qwen_xml(std::string_view text, bool at_end, const Json& tools) {
  using Kind = CallsRead::Kind;
  TextReader reader(text, at_end);
  const bool wrapped = reader.take(kCallOpen) == Has::kYes;
  reader.skip_white_space();
  const CallsRead none = {.kind = Kind::kNone,
                          .n_bytes = wrapped ? kCallOpen.size() : kFunction.size()};
  const Has begun = reader.take(kFunction);
  if (begun != Has::kYes) return begun == Has::kMore ? CallsRead{} : none;
  std::string_view name_text;
  const Has named = reader.take_until(">", kMostNameBytes, name_text);
  if (named != Has::kYes) return named == Has::kMore ? CallsRead{} : none;
  reader.skip(1);
  const std::string name(trim(name_text));
  // Without the outer tag it may be prose about such calls.
  if (name.empty() || (!wrapped && !has_tool(tools, name))) return none;
  Json arguments = Json::object();
  const Has taken = take_parameters(reader, name, tools, arguments);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  size_t end = reader.position();
  reader.skip_white_space();
  const Has closed = reader.take(kCallClose);
  if (closed == Has::kMore) return {};
  if (closed == Has::kYes) end = reader.position();
  return {.kind = Kind::kCalls, .n_bytes = end, .calls = {{name, json_line(arguments)}}};
}

GrammarExpr write_qwen_xml(CallWriter& writer, const ForcedTool& tool) {
  std::vector<GrammarExpr> parts = {writer.tag(kCallOpen),
                                    writer.text("\n<function=" + tool.name + ">\n")};
  for (const CallWriter::Member& member : CallWriter::members_of(tool.parameters)) {
    const GrammarExpr parameter = writer.sequence(
        {writer.text("<parameter=" + member.key + ">\n"),
         writer.bare_value(member.schema, kParameterClose), writer.text("\n</parameter>\n")});
    parts.push_back(member.required ? parameter : writer.builder().optional(parameter));
  }
  parts.push_back(writer.text("</function>\n"));
  parts.push_back(writer.tag(kCallClose));
  return writer.sequence(std::move(parts));
}

bool is_qwen_xml(std::string_view chat_template) {
  return chat_template.find(kFunction) != std::string_view::npos &&
         chat_template.find(kParameter) != std::string_view::npos;
}

}  // namespace

const ToolFormat kQwenXmlFormat = {
    .name = "qwen-xml",
    .is_of = is_qwen_xml,
    .openings = {kCallOpen, kFunction},
    .end_letters = ">",
    .read = read_qwen_xml,
    .tags = {kCallOpen, kCallClose},
    .write = write_qwen_xml,
    .between_calls = "\n",
};

}  // namespace tq
