// Hermes, Qwen2.5, Qwen3:  <tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>
#include <algorithm>

#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kOpen = "<tool_call>";
constexpr std::string_view kClose = "</tool_call>";

// The closing tag may be in one of the texts, so the object's own end counts.
CallsRead read_hermes(std::string_view text, bool at_end, const Json&, CallProgress& progress) {
  using Kind = CallsRead::Kind;
  TextReader reader(text, at_end);
  reader.skip(std::max(progress.n_read, kOpen.size()));
  reader.skip_white_space();
  progress.n_read = reader.position();
  if (reader.rest().empty()) return {};
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = kOpen.size()};
  if (reader.rest()[0] != '{') return none;
  Json json;
  const TextReader::Has taken = reader.take_json(json, progress.json);
  if (taken != TextReader::Has::kYes) return taken == TextReader::Has::kMore ? CallsRead{} : none;
  const auto call = call_of(json, "arguments", "parameters");
  if (!call) return none;
  size_t end = reader.position();
  reader.skip_white_space();
  const TextReader::Has closed = reader.take(kClose);
  if (closed == TextReader::Has::kMore) return {};
  if (closed == TextReader::Has::kYes) end = reader.position();
  return {.kind = Kind::kCalls, .n_bytes = end, .calls = {*call}};
}

GrammarExpr write_hermes(CallWriter& writer, const ForcedTool& tool) {
  const std::string begin = "\n{\"name\": " + json_line(Json(tool.name)) + ", \"arguments\": ";
  return writer.sequence({writer.tag(kOpen), writer.text(begin), writer.json(tool.parameters),
                          writer.text("}\n"), writer.tag(kClose)});
}

bool is_hermes(std::string_view chat_template) {
  return chat_template.find(kOpen) != std::string_view::npos;
}

}  // namespace

const ToolFormat kHermesFormat = {
    .name = "hermes",
    .is_of = is_hermes,
    .openings = {kOpen},
    .end_letters = "}>",
    .read = read_hermes,
    .tags = {kOpen, kClose},
    .write = write_hermes,
    .between_calls = "\n",
};

}  // namespace tq
