// GLM-4.5 and later:
//   <tool_call>f
//   <arg_key>x</arg_key>
//   <arg_value>1</arg_value>
//   </tool_call>
// The line breaks may be missing.
#include <algorithm>

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
TextReader::Has take_glm_value(TextReader& reader, std::string_view& value, size_t& n_searched) {
  using Has = TextReader::Has;
  const std::string_view text = reader.rest();
  for (size_t at = text.find(kValueClose, n_searched); at != std::string_view::npos;
       at = text.find(kValueClose, at + 1)) {
    n_searched = at;
    const Has ends = reader.follows(reader.position() + at + kValueClose.size(), kKey, kGlmClose);
    if (ends == Has::kMore) return ends;
    n_searched = at + 1;
    if (ends == Has::kNo) continue;
    value = text.substr(0, at);
    reader.skip(at + kValueClose.size());
    return Has::kYes;
  }
  n_searched = std::max(n_searched, text.size() - std::min(text.size(), kValueClose.size() - 1));
  return Has::kMore;
}

// From the beginning of a key to that of its value; or kNo behind the closing tag, with `closed`.
TextReader::Has take_glm_key(TextReader& reader, std::string& key, bool& closed) {
  using Has = TextReader::Has;
  reader.skip_white_space();
  const Has close = reader.take(kGlmClose);
  closed = close == Has::kYes;
  if (close != Has::kNo) return closed ? Has::kNo : close;
  Has taken = reader.take(kKey);
  std::string_view text;
  if (taken == Has::kYes) taken = reader.take_until("<", kMostNameBytes, text);
  if (taken == Has::kYes) taken = reader.take(kKeyClose);
  if (taken != Has::kYes) return taken;
  reader.skip_white_space();
  key = trim(text);
  return reader.take(kValue);
}

// From behind the name to behind the closing tag.
TextReader::Has take_glm_arguments(TextReader& reader, const Json& tools, CallProgress& progress) {
  using Has = TextReader::Has;
  while (true) {
    if (!progress.key) {
      std::string key;
      bool closed = false;
      const Has taken = take_glm_key(reader, key, closed);
      if (taken != Has::kYes) return closed ? Has::kYes : taken;
      progress.key = key;
      progress.n_read = reader.position();
      progress.n_searched = 0;
    }
    std::string_view value;
    const Has taken = take_glm_value(reader, value, progress.n_searched);
    if (taken != Has::kYes) return taken;
    add_argument(progress, value, tools, reader.position());
  }
}

CallsRead read_glm(std::string_view text, bool at_end, const Json& tools, CallProgress& progress) {
  using Has = TextReader::Has;
  using Kind = CallsRead::Kind;
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = kGlmOpen.size()};
  TextReader reader(text, at_end);
  reader.skip(std::max(progress.n_read, kGlmOpen.size()));
  if (progress.name.empty()) {
    reader.skip_white_space();
    std::string_view name;
    const Has named = reader.take_until("<\n", kMostNameBytes, name);
    if (named != Has::kYes) return named == Has::kMore ? CallsRead{} : none;
    name = trim(name);
    if (name.empty() || name.find_first_of("{}\"") != std::string_view::npos) return none;
    progress.name = name;
    progress.n_read = reader.position();
  }
  const Has taken = take_glm_arguments(reader, tools, progress);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  return {.kind = Kind::kCalls,
          .n_bytes = reader.position(),
          .calls = {{progress.name, json_line(progress.arguments)}}};
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
