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

// Whether a parameter's value ends at `at` of the rest, and how long the tag is there.
Has ends_value(const TextReader& reader, size_t at, size_t& n_tag) {
  const std::string_view text = reader.rest();
  const std::string_view tag = text.substr(at);
  const size_t position = reader.position() + at;
  n_tag = 0;
  if (tag.starts_with(kParameterClose)) {
    n_tag = kParameterClose.size();
    return reader.follows(position + n_tag, kParameter, kFunctionClose);
  }
  if (tag.starts_with(kFunctionClose)) {
    return reader.follows(position + kFunctionClose.size(), kCallClose, "");
  }
  if (tag.starts_with(kParameter)) return at > 0 && text[at - 1] == '\n' ? Has::kYes : Has::kNo;
  const bool may_be_tag = kParameterClose.starts_with(tag) || kFunctionClose.starts_with(tag) ||
                          kParameter.starts_with(tag);
  return may_be_tag ? Has::kMore : Has::kNo;
}

// The value of a parameter: up to what can only be its end, as it may hold tags itself.
Has take_parameter(TextReader& reader, std::string_view& value, size_t& n_searched) {
  const std::string_view text = reader.rest();
  for (size_t at = text.find('<', n_searched); at != std::string_view::npos;
       at = text.find('<', at + 1)) {
    n_searched = at;
    size_t n_tag = 0;
    const Has ends = ends_value(reader, at, n_tag);
    if (ends == Has::kMore) return Has::kMore;
    if (ends == Has::kNo) continue;
    value = text.substr(0, at);
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    reader.skip(at + n_tag);
    return Has::kYes;
  }
  n_searched = text.size();
  return Has::kMore;
}

// From behind <function=NAME> to behind its closing tag.
Has take_parameters(TextReader& reader, const Json& tools, CallProgress& progress) {
  while (true) {
    if (!progress.key) {
      reader.skip_white_space();
      const Has closed = reader.take(kFunctionClose);
      const Has opened = closed == Has::kNo ? reader.take(kParameter) : closed;
      if (closed == Has::kYes || opened != Has::kYes) return opened;
      std::string_view key;
      const Has taken = reader.take_until(">", kMostNameBytes, key);
      if (taken != Has::kYes) return taken;
      reader.skip(1);
      progress.key = trim(key);
      progress.n_read = reader.position();
      progress.n_searched = 0;
    }
    std::string_view value;
    const Has taken = take_parameter(reader, value, progress.n_searched);
    if (taken != Has::kYes) return taken;
    add_argument(progress, value, tools, reader.position());
  }
}

// Up to behind <function=NAME>.
Has take_function(TextReader& reader, bool wrapped, const Json& tools, CallProgress& progress) {
  if (wrapped) reader.skip(kCallOpen.size());
  reader.skip_white_space();
  const Has begun = reader.take(kFunction);
  if (begun != Has::kYes) return begun;
  std::string_view name;
  const Has named = reader.take_until(">", kMostNameBytes, name);
  if (named != Has::kYes) return named;
  reader.skip(1);
  name = trim(name);
  // Without the outer tag it may be prose about such calls.
  if (name.empty() || (!wrapped && !has_tool(tools, name))) return Has::kNo;
  progress.name = name;
  progress.n_read = reader.position();
  return Has::kYes;
}

CallsRead read_qwen_xml(std::string_view text, bool at_end, const Json& tools,
                        CallProgress& progress) {
  using Kind = CallsRead::Kind;
  TextReader reader(text, at_end);
  const bool wrapped = reader.starts_with(kCallOpen) == Has::kYes;
  reader.skip(progress.n_read);
  const CallsRead none = {.kind = Kind::kNone,
                          .n_bytes = wrapped ? kCallOpen.size() : kFunction.size()};
  Has taken = progress.name.empty() ? take_function(reader, wrapped, tools, progress) : Has::kYes;
  if (taken == Has::kYes) taken = take_parameters(reader, tools, progress);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  size_t end = reader.position();
  reader.skip_white_space();
  const Has closed = reader.take(kCallClose);
  if (closed == Has::kMore) return {};
  if (closed == Has::kYes) end = reader.position();
  return {.kind = Kind::kCalls,
          .n_bytes = end,
          .calls = {{progress.name, json_line(progress.arguments)}}};
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
